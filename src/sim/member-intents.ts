import type { Random } from "../base/random.ts";
import { exponential } from "./pipe.ts";
import type { Intent } from "./workload.ts";

const everyMs = 3_000;
const awayMs = 3_000;

/**
 * Draws how clients let one another into private rooms and put each other out, and ask who is in. The first user rules
 * there, as a rule, and the second may do most of it; whoever else tries is refused.
 */
export function drawMemberIntents(
  random: Random,
  options: { readonly rooms: Iterable<string>; readonly users: readonly string[]; readonly forMs: number },
): Intent[] {
  const { rooms, users, forMs } = options;
  const intents: Intent[] = [];
  for (const room of rooms) {
    for (let at = exponential(random, everyMs); at < forMs; at += 1 + exponential(random, everyMs)) {
      const client = random.whole(4) > 0 ? random.whole(2) : random.whole(users.length);
      const user = users[random.whole(users.length)]!;
      const die = random.whole(10);
      if (die < 3) {
        intents.push({ at, client: random.whole(users.length), act: "members", room });
      } else if (die < 5) {
        intents.push({ at, client, act: "invite", room, user });
      } else if (user !== users[client]) {
        intents.push({ at, client, act: "remove", room, user });
        const again = Math.min(forMs - 0.001, at + exponential(random, awayMs));
        if (random.whole(4) > 0) intents.push({ at: again, client, act: "invite", room, user });
      }
    }
  }
  return intents.sort((one, other) => one.at - other.at);
}
