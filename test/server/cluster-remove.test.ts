import { expect, test } from "vitest";
import type { NodeName } from "../../src/base/ids.ts";
import { removeServer } from "../../src/server/cluster-operations.ts";
import { Town } from "./town.ts";

test("a server is not removed while the others would be no quorum; who is gone is removed first", async () => {
  const town = await Town.founded();
  const leader = town.leader!.now;
  const [there, gone] = town.followers as [(typeof town.followers)[0], (typeof town.followers)[0]];
  town.powerLoss(gone);
  await town.until("it is missed", () =>
    leader.cluster!.peers.transport.status().every(({ name, state }) => name !== gone.name || state !== "linked"),
  );
  // Two would stay, and both would have to agree to everything: one of them is not there.
  const answer = removeServer(leader, there.name as NodeName).then(
    () => null,
    (cause: unknown) => cause,
  );
  expect(await town.after("refused", answer)).toMatchObject({ code: "no_quorum", definite: true });
  await town.after("removed", removeServer(leader, gone.name as NodeName));
  expect(town.voters).toHaveLength(2);
  // Now that one alone has its own majority, the other may go, too.
  await town.after("removed", removeServer(leader, there.name as NodeName));
  expect(town.voters).toEqual([leader.node]);
});
