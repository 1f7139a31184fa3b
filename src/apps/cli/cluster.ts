import picocolors from "picocolors";
import { type ExitCode, exitCodes } from "../terminal/exit-codes.ts";
import { at, shown, table } from "./answer-text.ts";
import { askOperators, askReadiness, operatorEvents, type OperatorsPort } from "./operators-port.ts";
import { textLine } from "./text-line.ts";

export interface ClusterCommand extends OperatorsPort {
  readonly json: boolean;
}

const root = "/admin/v1/cluster";

/** `synod cluster status`: who belongs to the cluster, who leads, who lags. Code 1 when this server can't take messages. */
export async function clusterStatus(command: ClusterCommand, waitMs: number | null): Promise<0 | 1> {
  const answer = await askReadiness(command, root, waitMs);
  print(command, answer, clusterLines(answer));
  return at(answer, "ready", "ok") === true ? 0 : 1;
}

/** `synod cluster add`: a server belongs to the cluster from now on; it is admitted as soon as it is there. */
export async function clusterAdd(command: ClusterCommand, added: { node: string; address: string }): Promise<void> {
  const { node, address } = added;
  const path = `${root}/servers/${encodeURIComponent(node)}`;
  const answer = await askOperators(command, path, { method: "PUT", fields: { address } });
  const isThere = serversIn(answer).some((server) => at(server, "node") === node && at(server, "role") === "voter");
  const next = isThere
    ? "it votes"
    : `once it runs with this cluster's secret and one of its servers in --peers, it is admitted; see synod cluster status`;
  print(command, answer, [`${shown(node)} is listed at ${shown(address)}: ${next}`]);
}

/** `synod cluster remove`: a server does not belong to the cluster any more. */
export async function clusterRemove(command: ClusterCommand, node: string): Promise<void> {
  const answer = await askOperators(command, `${root}/servers/${encodeURIComponent(node)}`, { method: "DELETE" });
  print(command, answer, [`${shown(node)} does not belong to the cluster any more; it can be stopped`]);
}

/** `synod cluster transfer`: another server leads. */
export async function clusterTransfer(command: ClusterCommand, to: string | null): Promise<void> {
  const answer = await askOperators(command, `${root}/transfer`, { method: "POST", fields: { to } });
  print(command, answer, [`${shown(at(answer, "leader"))} leads`]);
}

/** `synod cluster events`: what happened of late, as this server saw it. */
export async function clusterEvents(command: ClusterCommand, after: number): Promise<void> {
  const answer = await askOperators(command, `${root}/events?after=${after}`);
  const events = at(answer, "events");
  const list: readonly unknown[] = Array.isArray(events) ? events : [];
  if (command.json) for (const event of list) line(JSON.stringify(event));
  else for (const event of list) line(eventLine(event));
}

/** How often `watch` says how fast the server is, while anything is stored. */
const paceEveryMs = 10_000;

/**
 * `synod cluster watch`: what happens, as it happens, how the cluster stands whenever that changes, and now and then how
 * fast it is. Ends with the server.
 */
export async function clusterWatch(command: ClusterCommand, after: number): Promise<ExitCode> {
  let last = "";
  let pacedAt = 0;
  for await (const { name, data } of operatorEvents(command, `${root}/watch?after=${after}`)) {
    if (process.stdout.errored !== null) break;
    if (command.json) line(JSON.stringify({ type: name, ...(data as object) }));
    else if (name === "told") line(eventLine(data));
    else {
      const summary = summaryOf(data);
      if (summary !== last) line(picocolors.bold(summary));
      last = summary;
      const now = Number(at(data, "at"));
      if (at(data, "pace", "messagesPerSecond") === 0 || Math.abs(now - pacedAt) < paceEveryMs) continue;
      pacedAt = now;
      line(picocolors.dim(`── ${shown(at(data, "node"))} ${paceOf(data)}`));
    }
  }
  return exitCodes.unreachable;
}

function print(command: ClusterCommand, answer: unknown, lines: readonly string[]): void {
  if (command.json) line(JSON.stringify(answer));
  else for (const text of lines) line(text);
}

const line = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

function serversIn(answer: unknown): readonly unknown[] {
  const servers = at(answer, "servers");
  return Array.isArray(servers) ? servers : [];
}

function clusterLines(answer: unknown): string[] {
  const { bold, green, red } = picocolors;
  const isReady = at(answer, "ready", "ok") === true;
  const ready = isReady ? green("ready") : red(`not ready: ${shown(at(answer, "ready", "reason"))}`);
  const rows = withSelf(answer).map((server) => [
    shown(at(server, "node")),
    roleOf(server),
    stateOf(server),
    logOf(server, answer),
    shown(at(server, "address") ?? "-"),
  ]);
  return [
    `${bold(shown(at(answer, "node")))}  ${ready}`,
    `  cluster   ${shown(at(answer, "cluster"))}, ${shown(at(answer, "topology"))}`,
    `  leader    ${leaderOf(answer)}`,
    `  log       applied to entry ${shown(at(answer, "appliedIndex"))}`,
    `  pace      ${paceOf(answer)}`,
    ...table([["SERVER", "ROLE", "STATE", "LOG", "ADDRESS"], ...rows]).map((row) => `  ${row}`),
  ];
}

/** All servers, the one that was asked too where it is on its way in and no member yet. */
function withSelf(answer: unknown): readonly unknown[] {
  const servers = serversIn(answer);
  const isThere = servers.some((server) => at(server, "isSelf") === true);
  return isThere ? servers : [...servers, { node: at(answer, "node"), isSelf: true }];
}

/** How fast the server that was asked is, over the last seconds, and its disk. */
function paceOf(answer: unknown): string {
  const perSecond = (name: string): string => shown(at(answer, "pace", name));
  const flush = at(answer, "pace", "flushMs");
  const disk =
    flush === null
      ? "nothing flushed of late"
      : `flush ${shown(at(flush, "p50"))} ms, p99 ${shown(at(flush, "p99"))} ms`;
  return `${perSecond("messagesPerSecond")} messages/s, ${perSecond("deliveriesPerSecond")} delivered/s, ${disk}`;
}

function leaderOf(answer: unknown): string {
  const leader = at(answer, "leader");
  const term = `term ${shown(at(answer, "term"))}`;
  if (typeof leader !== "string") return `nobody, in ${term}`;
  const to = at(answer, "transfersTo");
  return `${shown(leader)} in ${term}${typeof to === "string" ? `, handing over to ${shown(to)}` : ""}`;
}

function roleOf(server: unknown): string {
  if (at(server, "isLeader") === true) return "leader";
  return shown(at(server, "role") ?? "listed");
}

function stateOf(server: unknown): string {
  if (at(server, "isSelf") === true) return "here";
  const state = at(server, "state");
  const link = at(server, "link");
  const disk = at(server, "diskIsStuck") === true ? ", its disk hangs" : "";
  return state === "alive" && link !== "linked" ? `alive, no link${disk}` : `${shown(state)}${disk}`;
}

/** What the leader knows of each, and everybody of himself. */
function logOf(server: unknown, answer: unknown): string {
  const lacking = at(server, "lackingChunks");
  const files = typeof lacking === "number" && lacking > 0 ? `, lacks ${lacking} sealed files` : "";
  if (at(server, "isSelf") === true) return `at ${shown(at(answer, "lastIndex"))}${files}`;
  const matched = at(server, "matched");
  // A new leader begins at 0 with everybody: of one that is dead it has heard nothing.
  const isUnheard = matched === 0 && at(server, "state") === "dead";
  if (typeof matched !== "number" || isUnheard) return `-${files}`;
  const lag = at(server, "lagEntries");
  return `at ${matched}${lag === 0 ? "" : `, lacks ${shown(lag)} entries`}${files}`;
}

/** One line that changes only when something is to be known. */
function summaryOf(answer: unknown): string {
  const servers = serversIn(answer).map((server) => {
    const lag = at(server, "lagEntries");
    const isMoving = typeof lag === "number" && lag > 1_000;
    const files = Number(at(server, "lackingChunks") ?? 0);
    const lacks = `${isMoving ? ` lacks ${Math.round(lag / 1_000)}k` : ""}${files > 0 ? " lacks sealed files" : ""}`;
    return `${shown(at(server, "node"))} ${roleOf(server)} ${stateOf(server)}${lacks}`;
  });
  return `── ${leaderOf(answer)} leads · ${servers.join(" · ")}`;
}

function eventLine(event: unknown): string {
  const time = at(event, "at");
  const fields = at(event, "fields");
  return textLine(
    {
      level: at(event, "level"),
      time: new Date(typeof time === "number" ? time : 0).toISOString(),
      event: at(event, "event"),
      ...(typeof fields === "object" ? fields : {}),
    },
    picocolors.isColorSupported,
  ).trimEnd();
}
