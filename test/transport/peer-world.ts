import type { Clock } from "../../src/base/clock.ts";
import type { Random } from "../../src/base/random.ts";
import type { PeerAddress, PeerDialler, PeerStream } from "../../src/transport/peer-stream.ts";

/** A place where streams between servers exist: in memory, in the simulator, or as real sockets. */
export interface PeerWorld {
  host(name: string, secret?: string): PeerHost;
  /** Lets things happen until `done`; throws when they come to rest, or take far too long, before that. */
  until(done: () => boolean): Promise<void>;
  /** Lets things happen for a while. */
  rest(): Promise<void>;
  close(): Promise<void>;
}

/** One machine with one process in that place. */
export interface PeerHost {
  readonly clock: Clock;
  readonly random: Random;
  readonly dialler: PeerDialler;
  /** Begins to accept streams; settles when it does. */
  listen(onStream: (stream: PeerStream) => void): Promise<PeerAddress>;
  /** Nobody listens there any more; streams stay. */
  stopListening(): Promise<void>;
  /** The process dies: nothing of it runs any more, nobody listens, and its streams are reset. */
  crash(): Promise<void>;
}

/** A clock whose tasks die with its process. */
export function mortalClock(clock: Clock, isAlive: () => boolean): Clock {
  const whileAlive = (task: () => void) => (): void => {
    if (isAlive()) task();
  };
  return {
    now: () => clock.now(),
    wall: () => clock.wall(),
    after: (delay, task) => clock.after(delay, whileAlive(task)),
    defer: (task) => clock.defer(whileAlive(task)),
  };
}

/** What one stream told. */
export interface Heard {
  readonly stream: PeerStream;
  readonly events: string[];
  bytes: Uint8Array;
}

export function hear(stream: PeerStream): Heard {
  const heard: Heard = { stream, events: [], bytes: new Uint8Array(0) };
  stream.attach({
    opened: () => heard.events.push("opened"),
    data: (bytes) => {
      const joined = new Uint8Array(heard.bytes.length + bytes.length);
      joined.set(heard.bytes);
      joined.set(bytes, heard.bytes.length);
      heard.bytes = joined;
    },
    drained: () => heard.events.push("drained"),
    closed: (why) => heard.events.push(why),
  });
  return heard;
}

export function bytesFrom(length: number, step = 7): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at++) bytes[at] = at * step;
  return bytes;
}

/** By the bytes: comparing arrays element by element is slow for large ones. */
export function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}
