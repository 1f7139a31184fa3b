/** Something that happened to the cluster, as somebody told it. */
export interface Moment {
  /** Rises with every moment that came; tells two of the same time apart. */
  readonly key: number;
  /** By the wall clock of whoever told it, in milliseconds. */
  readonly at: number;
  /** Whom it is about. */
  readonly server: string;
  /** `told`: a server's event; `process`: what became of its process; `act`: what somebody did. */
  readonly kind: "told" | "process" | "act";
  readonly level: "info" | "warn" | "error";
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** What a server is doing, as far as is known. */
export type Role = "leader" | "candidate" | "follower" | "paused" | "down" | "unknown";

export interface Standing {
  readonly role: Role;
  /** 0: not known. */
  readonly term: number;
}

/** A server in one role, from a time to another. */
export interface Stretch extends Standing {
  readonly from: number;
  readonly to: number;
}

/** Moments kept: hours of a quiet cluster. */
const momentsMax = 2_000;

/**
 * What happened, in the order of time, and what follows from it. `own`: the only server that is listened to, which also
 * tells of the others; null: each tells of itself.
 */
export class Moments {
  own: string | null = null;
  #list: Moment[] = [];
  #lastKey = 0;

  get list(): readonly Moment[] {
    return this.#list;
  }

  clear(): void {
    this.#list = [];
  }

  add(moment: Omit<Moment, "key">): void {
    const list = this.#list;
    let at = list.length;
    // Servers are heard a little after one another.
    while (at > 0 && list[at - 1]!.at > moment.at) at--;
    list.splice(at, 0, { ...moment, key: ++this.#lastKey });
    if (list.length > momentsMax) list.shift();
  }

  /** How everybody stood when the moments before place `end` had happened. */
  standings(end: number = this.#list.length): Map<string, Standing> {
    const standings = new Map<string, Standing>();
    for (const moment of this.#list.slice(0, end)) follow(standings, moment, this.own);
    return standings;
  }

  /** Who was in which role when, between two times; of everybody who is known. */
  stretches(from: number, to: number): Map<string, Stretch[]> {
    const standings = new Map<string, Standing>();
    const since = new Map<string, number>();
    const stretches = new Map<string, Stretch[]>();
    const close = (server: string, standing: Standing, end: number): void => {
      const start = Math.max(since.get(server) ?? from, from);
      if (end <= start) return;
      const list = stretches.get(server) ?? [];
      list.push({ ...standing, from: start, to: end });
      stretches.set(server, list);
    };
    for (const moment of this.#list) {
      if (moment.at > to) break;
      const before = new Map(standings);
      follow(standings, moment, this.own);
      for (const [server, standing] of standings) {
        const old = before.get(server);
        if (old !== undefined && old.role === standing.role && old.term === standing.term) continue;
        if (old !== undefined) close(server, old, moment.at);
        since.set(server, moment.at);
      }
    }
    for (const [server, standing] of standings) close(server, standing, to);
    return stretches;
  }
}

function follow(standings: Map<string, Standing>, moment: Moment, own: string | null): void {
  const { server, kind, event, fields } = moment;
  if (kind === "process") {
    const standing = standings.get(server) ?? unknown;
    const { state } = fields;
    if (state === "stopped") standings.set(server, { ...standing, role: "down" });
    else if (state === "paused") standings.set(server, { ...standing, role: "paused" });
    // It goes on where it was, and says so when it notices that it is not there any more.
    else if (standing.role === "down" || standing.role === "paused")
      standings.set(server, { ...standing, role: "unknown" });
    return;
  }
  if (kind !== "told") return;
  if (event === "standing.changed") {
    const term = Number(fields["term"]);
    standings.set(server, { role: roleOf(String(fields["role"])), term });
    if (own !== null) followLeader(standings, own, { leader: fields["leader"], term });
    return;
  }
  if (own === null || typeof fields["peer"] !== "string") return;
  const peer = fields["peer"];
  const standing = standings.get(peer) ?? unknown;
  if (event === "peer.dead") standings.set(peer, { ...standing, role: "down" });
  else if (event === "peer.suspected") standings.set(peer, { ...standing, role: "unknown" });
  else if (event === "peer.alive" && standing.role !== "leader") standings.set(peer, { ...standing, role: "follower" });
}

const unknown: Standing = { role: "unknown", term: 0 };

/** What one server's word says of the others: one of them leads, and whoever led does not any more. */
function followLeader(
  standings: Map<string, Standing>,
  own: string,
  { leader, term }: { readonly leader: unknown; readonly term: number },
): void {
  for (const [name, standing] of standings) {
    if (name !== own && standing.role === "leader" && name !== leader) standings.set(name, { role: "follower", term });
  }
  if (typeof leader === "string" && leader !== own) standings.set(leader, { role: "leader", term });
}

function roleOf(role: string): Role {
  switch (role) {
    case "leader":
    case "elected":
      return "leader";
    case "candidate":
    case "pre-candidate":
      return "candidate";
    default:
      return "follower";
  }
}
