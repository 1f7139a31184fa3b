import type { Moment } from "./moments.ts";
import type { Texts } from "./texts.ts";

/** A moment as a sentence; null: there is none for it, and its name and fields are shown as they are. */
export function sentenceOf({ server, kind, event, fields }: Moment, texts: Texts): string | null {
  if (kind === "act") return actSentence(texts.acts, event.slice("act.".length), server, text(fields["other"]));
  if (kind === "process") {
    const sentences: Readonly<Record<string, (server: string) => string>> = texts.processes;
    return sentences[event.slice("process.".length)]?.(server) ?? null;
  }
  const { told } = texts;
  const peer = text(fields["peer"]);
  switch (event) {
    case "standing.changed":
      return standingSentence(told, server, fields);
    case "peer.dead":
      return told.dead(server, peer);
    case "peer.suspected":
      return told.suspected(server, peer);
    case "peer.alive":
      return told.alive(server, peer);
    case "peer.linked":
      return told.linked(server, peer);
    case "peer.lost":
      return told.unlinked(server, peer);
    case "loop.stalled":
      return told.stalled(server, Math.round(Number(fields["stalledMs"])));
    case "members.are":
      return Array.isArray(fields["members"])
        ? told.members(server, fields["members"].map(shortMember).join(", "))
        : null;
    default:
      return null;
  }
}

/** A member without the number of its life: `n1#5ac4… voter` is n1, `n2#d079… learner` is n2 (learner). */
function shortMember(member: unknown): string {
  const [replica = "", role = "voter"] = text(member).split(" ");
  const name = replica.split("#")[0]!;
  return role === "voter" ? name : `${name} (${role})`;
}

/** Name and fields, for what has no sentence. */
export function plainText({ event, fields }: Moment): string {
  const words = Object.entries(fields).map(([name, value]) => `${name}=${text(value)}`);
  return `${event}  ${words.join(" ")}`.trim();
}

function text(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "number") return String(Math.round(value * 10) / 10);
  return JSON.stringify(value) ?? "";
}

function standingSentence(
  told: Texts["told"],
  server: string,
  fields: Readonly<Record<string, unknown>>,
): string | null {
  const term = Number(fields["term"]);
  switch (fields["role"]) {
    case "leader":
      return told.leads(server, term);
    case "elected":
      return told.elected(server, term);
    case "candidate":
      return told.asks(server, term);
    case "pre-candidate":
      return told.probes(server, term);
    case "follower":
      return typeof fields["leader"] === "string"
        ? told.follows(server, fields["leader"], term)
        : told.lost(server, term);
    default:
      return null;
  }
}

function actSentence(acts: Texts["acts"], what: string, server: string, other: string): string | null {
  switch (what) {
    case "cut":
    case "mend":
      return acts[what](server, other);
    case "heal":
      return acts.heal();
    case "kill":
    case "restart":
    case "pause":
    case "resume":
    case "slow":
    case "quicken":
      return acts[what](server);
    default:
      return null;
  }
}
