import { type Command, commandTypes, noticeKinds, roles } from "../../src/rooms/commands.ts";
import type { Post } from "./group-log.ts";

/**
 * The rules of rooms said once more, with plain maps and strings and no thought of speed, to hold the real ones
 * against. It shares no code with them beyond the numbers of commands.
 */
interface NaiveRoom {
  exists: boolean;
  isPrivate: boolean;
  head: number;
  first: number;
  floor: number;
  lastTs: number;
  /** It was given back. */
  closed: boolean;
  maker: string;
  members: Map<string, { role: number; read: number; invited: boolean }>;
  marks: Map<string, number>;
  noticeNumber: number;
  outbox: { number: number; kind: number; user: string }[];
  open: { first: number; last: number } | null;
  runs: { chunk: number; first: number; last: number }[];
}

interface NaiveOutcome {
  code: string;
  seq: number;
  ts: number;
  epoch: number;
}

const text = new TextDecoder();
const refused = (code: string): NaiveOutcome => ({ code, seq: 0, ts: 0, epoch: 0 });

export class NaiveRooms {
  readonly rooms = new Map<string, NaiveRoom>();
  readonly told = new Map<string, { kind: number; number: number }>();
  window: { key: string; content: string; room: string; seq: number; ts: number; epoch: number }[] = [];
  readonly windowMax: number;
  readonly madeMax: number;
  readonly roomsMax: number;
  forgottenNotices = 0;
  chunk = 0;
  day = 0;
  ts = 0;
  term = 0;

  constructor(windowMax: number, roomsMax = Infinity, madeMax = Infinity) {
    this.windowMax = windowMax;
    this.roomsMax = roomsMax;
    this.madeMax = madeMax;
  }

  /** Why no room may be made under this name by this user; else done. */
  #mayMake(name: string, maker: string): string {
    const all = [...this.rooms.values()];
    const room = this.rooms.get(name);
    const taken = all.filter(({ closed }) => !closed).length;
    if ((room === undefined || room.closed) && taken >= this.roomsMax) return "groupFull";
    const isMine = (one: [string, NaiveRoom]): boolean => one[1].maker === maker && !one[0].startsWith("@");
    const mine = [...this.rooms].filter(isMine).length;
    return !name.startsWith("@") && room?.maker !== maker && mine >= this.madeMax ? "makerFull" : "done";
  }

  /** An entry begins. */
  begin(ts: number, day: number, term: number): void {
    this.ts = Math.max(this.ts, ts);
    this.term = term;
    if (day > this.day) {
      if ([...this.rooms.values()].some((room) => room.open !== null)) this.seal();
      this.day = day;
    }
  }

  seal(): void {
    this.chunk++;
    for (const room of this.rooms.values()) {
      if (room.open !== null && room.open.last >= room.first) room.runs.push({ chunk: this.chunk, ...room.open });
      room.open = null;
    }
  }

  found(): void {
    if (!this.rooms.has("lobby")) this.#make("lobby", false, "");
  }

  #peopleOf(name: string): string[] {
    return name.startsWith("@") ? [...new Set(name.slice(1).split(","))] : [];
  }

  #make(name: string, isPrivate: boolean, maker: string): NaiveRoom {
    const room = this.rooms.get(name) ?? {
      exists: true,
      isPrivate,
      head: 0,
      first: 1,
      floor: 0,
      lastTs: 0,
      closed: false,
      maker,
      members: new Map(),
      marks: new Map(),
      noticeNumber: this.forgottenNotices,
      outbox: [],
      open: null,
      runs: [],
    };
    room.exists = true;
    room.isPrivate = isPrivate;
    room.closed = false;
    room.maker = maker;
    this.rooms.set(name, room);
    for (const person of this.#peopleOf(name)) this.#tell(room, person, noticeKinds.direct);
    return room;
  }

  #tell(room: NaiveRoom, user: string, kind: number): void {
    room.outbox = room.outbox.filter((notice) => notice.user !== user);
    room.outbox.push({ number: ++room.noticeNumber, kind, user });
  }

  #sees(name: string, user: string): boolean {
    const room = this.rooms.get(name);
    if (name.startsWith("@")) return this.#peopleOf(name).includes(user);
    return room?.exists === true && (!room.isPrivate || room.members.has(user));
  }

  post(post: Post): NaiveOutcome {
    const key = JSON.stringify([post.room, post.from, post.cid]);
    const content = JSON.stringify([post.kind ?? "", post.ref ?? 0, post.body ?? "hello"]);
    const known = this.window.find((id) => id.key === key);
    if (known !== undefined) {
      const { seq, ts, epoch } = known;
      return { code: known.content === content ? "repeat" : "conflict", seq, ts, epoch };
    }
    const code = this.#judge(post);
    if (code !== "stored") return refused(code);
    const before = this.rooms.get(post.room);
    const room = before?.exists === true ? before : this.#make(post.room, true, post.from);
    room.head++;
    room.lastTs = Math.max(room.lastTs, this.ts);
    room.open = { first: room.open?.first ?? room.head, last: room.head };
    this.window.push({ key, content, room: post.room, seq: room.head, ts: room.lastTs, epoch: this.term });
    while (this.window.length > this.windowMax) {
      const oldest = this.window.shift()!;
      this.rooms.get(oldest.room)!.floor = oldest.seq;
    }
    return { code: "stored", seq: room.head, ts: room.lastTs, epoch: this.term };
  }

  #judge(post: Post): string {
    const room = this.rooms.get(post.room);
    const isDirect = post.room.startsWith("@");
    if (isDirect && room?.exists !== true && !this.#sees(post.room, post.from)) return "notFound";
    if (!isDirect && room?.exists !== true) return "notFound";
    if (room?.exists !== true) {
      const code = this.#mayMake(post.room, post.from);
      if (code !== "done") return code;
    }
    const { floor, first, head } = room ?? { floor: 0, first: 1, head: 0 };
    const forgotten = floor >= first;
    if (forgotten && (post.checked ?? 0) < floor) return "recheck";
    if (!this.#sees(post.room, post.from)) return "notFound";
    const kind = post.kind ?? "";
    const ref = post.ref ?? 0;
    if (kind.startsWith("sys.")) return "forbidden";
    // A room that never was refuses a ref before it asks what it is for.
    const speaksOf = ["edit", "delete", "react", "unreact"].includes(kind);
    if (speaksOf && ref === 0) return "refNeeded";
    if (ref > head) return "notFound";
    if (speaksOf && ref < first) return "gone";
    if (kind === "edit" || kind === "delete") {
      if ((post.refFrom ?? "") === "") return "recheck";
      const refKind = post.refKind ?? "";
      if (["edit", "delete", "react", "unreact"].includes(refKind) || refKind.startsWith("sys.")) return "notAMessage";
      const role = room?.members.get(post.from)?.role ?? 0;
      if (post.refFrom !== post.from && role < roles.moderator) return "forbidden";
    }
    if ((post.prev ?? "") === "") return "stored";
    if ((post.prevSeq ?? 0) > 0 && room !== undefined) return post.prevSeq! <= head ? "stored" : "order";
    const prev = JSON.stringify([post.room, post.from, post.prev]);
    if (this.window.some((id) => id.key === prev)) return "stored";
    return forgotten ? "recheck" : "order";
  }

  do(command: Command): string {
    const name = text.decode(command.room);
    const user = "user" in command ? text.decode(command.user) : "";
    const by = "by" in command ? text.decode(command.by) : "";
    const room = this.rooms.get(name);
    const isDirect = name.startsWith("@");
    if (command.type === commandTypes.notice) {
      const key = `${user} ${name}`;
      const before = this.told.get(key)?.number ?? -1;
      if (command.number > before) this.told.set(key, { kind: command.kind, number: command.number });
      return "done";
    }
    if (command.type === commandTypes.noticeAcknowledged) {
      if (room === undefined) return "notFound";
      room.outbox = room.outbox.filter((notice) => notice.user !== user || notice.number > command.number);
      return "done";
    }
    if (command.type === commandTypes.join) {
      if (isDirect) {
        if (!this.#peopleOf(name).includes(user)) return "notFound";
        if (room?.exists === true) return "done";
        const code = this.#mayMake(name, user);
        if (code === "done") this.#make(name, true, user);
        return code;
      }
      if (room?.exists === true) {
        const member = room.members.get(user);
        if (member?.invited === true) {
          member.invited = false;
          this.#tell(room, user, noticeKinds.added);
        }
        if (member !== undefined) return "done";
        return room.isPrivate ? "notFound" : this.#enter(room, user, roles.member, false);
      }
      const code = this.#mayMake(name, user);
      if (code !== "done") return code;
      return this.#enter(this.#make(name, command.private, user), user, roles.owner, false);
    }
    if (command.type === commandTypes.closeRoom) {
      if (room === undefined) return "notFound";
      if (room.closed || room.outbox.length > 0) return "done";
      const isEmpty = room.members.size === 0 && room.first > room.head && !room.isPrivate && name !== "lobby";
      if (room.exists && !isEmpty) return "done";
      this.#clear(room);
      if (room.head > 0) Object.assign(room, { closed: true, maker: "" });
      else {
        this.forgottenNotices = Math.max(this.forgottenNotices, room.noticeNumber);
        this.rooms.delete(name);
      }
      return "done";
    }
    if (room?.exists !== true) return "notFound";
    const roleOf = (who: string): number => (who === "" ? 9 : (room.members.get(who)?.role ?? 0));
    const ruled = (role: number): string => {
      if (by !== "" && !this.#sees(name, by)) return "notFound";
      return roleOf(by) >= role ? "done" : "forbidden";
    };
    switch (command.type) {
      case commandTypes.leave:
        if (isDirect) return this.#sees(name, user) ? "forbidden" : "notFound";
        if (!room.members.has(user)) return room.isPrivate ? "notFound" : "done";
        this.#putOut(room, user);
        this.#tell(room, user, noticeKinds.removed);
        return "done";
      case commandTypes.kick: {
        const code = ruled(roles.moderator);
        if (code !== "done") return code;
        const target = room.members.get(user);
        if (target === undefined) return "notFound";
        if (roleOf(by) === roles.moderator && target.role >= roles.moderator) return "forbidden";
        this.#putOut(room, user);
        this.#tell(room, user, noticeKinds.removed);
        return "done";
      }
      case commandTypes.role: {
        const code = ruled(roles.owner);
        if (code !== "done") return code;
        const target = room.members.get(user);
        if (target === undefined) return "notFound";
        const wasOwner = target.role === roles.owner;
        target.role = command.role;
        if (wasOwner) this.#passOn(room);
        return "done";
      }
      case commandTypes.invite: {
        const code = ruled(roles.moderator);
        if (code !== "done") return code;
        if (room.members.has(user)) return "done";
        return this.#enter(room, user, room.isPrivate && room.members.size === 0 ? roles.owner : roles.member, true);
      }
      case commandTypes.readMark: {
        if (!this.#sees(name, user)) return "notFound";
        const seq = Math.min(command.seq, room.head);
        const member = room.members.get(user);
        if (member !== undefined) member.read = Math.max(member.read, seq);
        else if (seq > (room.marks.get(user) ?? 0)) room.marks.set(user, seq);
        return "done";
      }
      case commandTypes.retention:
        return ruled(roles.owner);
      case commandTypes.trim:
        room.first = Math.max(room.first, Math.min(command.first, room.head + 1));
        room.runs = room.runs.filter((run) => run.last >= room.first);
        return "done";
      case commandTypes.deleteRoom: {
        const code = ruled(roles.owner);
        if (code !== "done") return code;
        for (const person of this.#peopleOf(name)) this.#tell(room, person, noticeKinds.removed);
        for (const member of [...room.members.keys()].sort((a, b) => (a < b ? -1 : 1))) {
          this.#tell(room, member, noticeKinds.removed);
        }
        this.#clear(room);
        return "done";
      }
    }
  }

  #clear(room: NaiveRoom): void {
    Object.assign(room, { exists: false, isPrivate: false, first: room.head + 1, runs: [] });
    room.members.clear();
    room.marks.clear();
  }

  // Whoever leaves an open room keeps the read mark, as a visitor.
  #putOut(room: NaiveRoom, user: string): void {
    const { read, role } = room.members.get(user)!;
    room.members.delete(user);
    if (!room.isPrivate && read > 0) room.marks.set(user, read);
    if (role === roles.owner) this.#passOn(room);
  }

  // A map goes through its keys in the order in which they came.
  #passOn(room: NaiveRoom): void {
    const left = [...room.members.values()];
    const highest = Math.max(...left.map(({ role }) => role));
    const heir = left.find(({ role }) => role === highest);
    if (heir !== undefined) heir.role = roles.owner;
  }

  #enter(room: NaiveRoom, user: string, role: number, invited: boolean): string {
    room.members.set(user, { role, read: room.marks.get(user) ?? 0, invited });
    room.marks.delete(user);
    this.#tell(room, user, invited ? noticeKinds.invited : noticeKinds.added);
    return "done";
  }

  /** What a room is, for comparing. */
  describe(name: string): unknown {
    const room = this.rooms.get(name);
    if (room?.exists !== true) return null;
    const members = [...room.members].sort(([a], [b]) => (a < b ? -1 : 1));
    return {
      head: room.head,
      first: room.first,
      floor: room.floor,
      lastTs: room.lastTs,
      isPrivate: room.isPrivate,
      members: members.map(([user, { role, read, invited }]) => [user, role, read, invited]),
      marks: [...room.marks].sort(([a], [b]) => (a < b ? -1 : 1)),
      outbox: room.outbox,
      runs: room.runs.map((run) => [run.chunk, run.first, run.last]),
    };
  }
}
