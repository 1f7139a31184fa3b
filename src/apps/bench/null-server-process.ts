import type { NullServerPlan } from "./null-server.ts";
import { portOf, startNullServer } from "./null-server.ts";

/** A null server in a process of its own: gets its plan from the parent, answers with its port, ends with the parent. */
process.on("disconnect", () => process.exit(0));
process.on("message", (plan: NullServerPlan) => {
  startNullServer(plan).then(
    (server) => process.send?.({ port: portOf(server) }),
    (cause: unknown) => {
      process.stderr.write(`${String(cause)}\n`);
      process.exit(1);
    },
  );
});
