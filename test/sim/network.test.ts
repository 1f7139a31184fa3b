import { describe, expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { millis } from "../../src/base/units.ts";
import type { SimHost } from "../../src/sim/host.ts";
import type { SimStream } from "../../src/sim/connection-end.ts";
import { Network } from "../../src/sim/network.ts";
import { Scheduler } from "../../src/sim/scheduler.ts";

interface Town {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly server: SimHost;
  readonly client: SimHost;
  /** Runs for so many virtual milliseconds more. */
  pass(ms: number): Promise<void>;
}

function town(seed = 1): Town {
  const scheduler = new Scheduler({ random: seededRandom(seed) });
  const network = new Network({ scheduler, random: seededRandom(seed + 1) });
  const server = scheduler.host("server");
  const client = scheduler.host("client");
  return {
    scheduler,
    network,
    server,
    client,
    pass: (ms) => scheduler.run({ until: millis(scheduler.now() + ms) }),
  };
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const read = (pieces: readonly Uint8Array[]): string => pieces.map((piece) => new TextDecoder().decode(piece)).join("");

/** Echoes whole lines in capitals: a toy that has to find the ends of frames by itself. */
function echo(network: Network, host: SimHost): void {
  network.listen(host, 1, (stream) => {
    let line: number[] = [];
    stream.onData = (bytes) => {
      for (const byte of bytes) {
        line.push(byte);
        if (byte !== 10) continue;
        stream.write(text(new TextDecoder().decode(new Uint8Array(line)).toUpperCase()));
        line = [];
      }
    };
  });
}

interface Heard {
  readonly stream: SimStream;
  readonly pieces: Uint8Array[];
  readonly ends: string[];
  readonly text: () => string;
}

function dial(from: Town, port = 1): Heard {
  return listenTo(from.network.dial(from.client, { host: "server", port }));
}

function listenTo(stream: SimStream): Heard {
  const pieces: Uint8Array[] = [];
  const ends: string[] = [];
  stream.onData = (bytes) => pieces.push(bytes);
  stream.onClose = (reason) => ends.push(reason);
  return { stream, pieces, ends, text: () => read(pieces) };
}

/** A server that only keeps what it hears. */
function sink(from: Town): Heard[] {
  const heard: Heard[] = [];
  from.network.listen(from.server, 1, (stream) => heard.push(listenTo(stream)));
  return heard;
}

describe("a stream", () => {
  test("carries bytes both ways, in order, also those written before it stands", async () => {
    const { network, server, ...rest } = town();
    echo(network, server);
    const heard = dial({ network, server, ...rest });
    let opened = 0;
    heard.stream.onOpen = () => opened++;
    heard.stream.write(text("one\ntw"));
    heard.stream.write(text("o\n"));
    await rest.pass(50);
    expect(opened).toBe(1);
    expect(heard.text()).toBe("ONE\nTWO\n");
  });

  test("copies what is written", async () => {
    const place = town();
    const heard = sink(place);
    const { stream } = dial(place);
    const bytes = text("kept");
    stream.write(bytes);
    bytes.fill(0);
    await place.pass(50);
    expect(heard[0]!.text()).toBe("kept");
  });

  test("gives the same bytes for every place where a piece may end", async () => {
    const request = "größe, 中文, end\nsecond\nthird line\n";
    const length = text(request).length;
    for (let offset = 0; offset <= length; offset++) {
      const place = town(offset);
      place.network.shape({ chop: { kind: "at", offset } });
      echo(place.network, place.server);
      const heard = dial(place);
      heard.stream.write(text(request));
      await place.pass(50);
      const whole = new Uint8Array(heard.pieces.flatMap((piece) => [...piece]));
      expect(new TextDecoder().decode(whole)).toBe(request.toUpperCase());
      const first = heard.pieces[0]!.length;
      if (offset > 0 && offset < whole.length && first > offset) expect.fail(`the first piece went past ${offset}`);
    }
  });

  test("a byte at a time, and a large body then in growing pieces", async () => {
    const place = town();
    place.network.shape({ chop: { kind: "pieces", bytesMax: 1 } });
    const heard = sink(place);
    const { stream } = dial(place);
    stream.write(text("hello"));
    await place.pass(50);
    expect(heard[0]!.pieces.map((piece) => piece.length)).toEqual([1, 1, 1, 1, 1]);
    const body = seededRandom(5).bytes(100_000);
    stream.write(body);
    const before = place.scheduler.events;
    await place.pass(1_000);
    const sent = heard[0]!.pieces.slice(5).flatMap((piece) => [...piece]);
    expect(Buffer.from(sent).equals(Buffer.from(body))).toBe(true);
    expect(place.scheduler.events - before).toBeLessThan(1_000);
  });

  test("keeps order under heavy jitter, and gathers what arrives together", async () => {
    const place = town();
    place.network.shape({ jitterMeanMs: 100 });
    const heard = sink(place);
    const { stream } = dial(place);
    let expected = "";
    for (let n = 0; n < 500; n++) {
      expected += `${n},`;
      stream.write(text(`${n},`));
    }
    await place.pass(5_000);
    expect(heard[0]!.text()).toBe(expected);
    expect(heard[0]!.pieces.length).toBeLessThan(100);
  });

  test("closes in order: what was written arrives, then both sides hear of it once", async () => {
    const place = town();
    const heard = sink(place);
    const near = dial(place);
    near.stream.write(text("last words"));
    near.stream.close();
    near.stream.write(text("too late"));
    await place.pass(50);
    expect(heard[0]!.text()).toBe("last words");
    expect(heard[0]!.ends).toEqual(["closed"]);
    expect(near.ends).toEqual(["closed"]);
    expect(place.network.connectionCount).toBe(0);
  });

  test("destroyed: silence here, a part and a reset there", async () => {
    const lengths = new Set<number>();
    for (let seed = 0; seed < 40; seed++) {
      const place = town(seed);
      const heard = sink(place);
      const near = dial(place);
      await place.pass(50);
      near.stream.write(text("0123456789"));
      near.stream.destroy();
      await place.pass(50);
      expect(near.ends).toEqual([]);
      expect(heard[0]!.ends).toEqual(["reset"]);
      expect("0123456789".startsWith(heard[0]!.text())).toBe(true);
      lengths.add(heard[0]!.text().length);
      expect(place.network.connectionCount).toBe(0);
    }
    expect(lengths.size).toBeGreaterThan(5);
  });

  test("is refused where nobody listens, and where the listener was closed", async () => {
    const place = town();
    const first = dial(place);
    await place.pass(50);
    expect(first.ends).toEqual(["refused"]);
    place.network.listen(place.server, 1, () => undefined).close();
    const second = dial(place);
    await place.pass(50);
    expect(second.ends).toEqual(["refused"]);
  });
});

describe("back-pressure", () => {
  test("a reader that does not read makes the writer's buffer grow; reading on drains it, and says so", async () => {
    const place = town();
    place.network.shape({ socketBytes: 1_000 });
    const heard = sink(place);
    const { stream } = dial(place);
    await place.pass(10);
    heard[0]!.stream.pauseReading();
    let drained = 0;
    stream.onDrain = () => drained++;
    stream.write(new Uint8Array(900));
    await place.pass(50);
    expect(stream.bufferedBytes).toBe(0);
    stream.write(new Uint8Array(5_000));
    await place.pass(50);
    expect(stream.bufferedBytes).toBe(4_900);
    expect(heard[0]!.pieces).toEqual([]);
    heard[0]!.stream.resumeReading();
    await place.pass(50);
    expect([stream.bufferedBytes, drained]).toEqual([0, 1]);
    expect(heard[0]!.pieces.reduce((sum, piece) => sum + piece.length, 0)).toBe(5_900);
  });

  test("a narrow link takes its time", async () => {
    const place = town();
    place.network.shape({ bytesPerSecond: 1_000 });
    const heard = sink(place);
    const { stream } = dial(place);
    for (let n = 0; n < 20; n++) stream.write(new Uint8Array(100));
    await place.pass(1_000);
    const after1s = heard[0]!.pieces.reduce((sum, piece) => sum + piece.length, 0);
    expect(after1s).toBeGreaterThan(800);
    expect(after1s).toBeLessThan(1_100);
    await place.pass(1_100);
    expect(heard[0]!.pieces.reduce((sum, piece) => sum + piece.length, 0)).toBe(2_000);
  });
});

describe("faults", () => {
  test("a clogged direction delivers later; the other direction is not touched", async () => {
    const place = town();
    const heard = sink(place);
    const near = dial(place);
    await place.pass(10);
    place.network.clog({ from: "client", to: "server", forMs: 2_000 });
    near.stream.write(text("up"));
    heard[0]!.stream.write(text("down"));
    await place.pass(1_900);
    expect([heard[0]!.text(), near.text()]).toEqual(["", "down"]);
    await place.pass(200);
    expect(heard[0]!.text()).toBe("up");
  });

  test("a blocked direction holds everything, dialling too, until the last block is lifted", async () => {
    const place = town();
    const heard = sink(place);
    const near = dial(place);
    await place.pass(10);
    const way = { from: "client", to: "server" };
    place.network.block(way);
    place.network.block(way);
    near.stream.write(text("held"));
    const second = dial(place);
    second.stream.write(text("second"));
    await place.pass(5_000);
    expect(heard.length).toBe(1);
    place.network.unblock(way);
    await place.pass(2_000);
    expect([heard[0]!.text(), heard.length]).toEqual(["", 1]);
    place.network.unblock(way);
    await place.pass(2_000);
    expect([heard[0]!.text(), heard[1]?.text()]).toEqual(["held", "second"]);
    expect([near.ends, second.ends]).toEqual([[], []]);
  });

  test("a cut delivers a prefix and resets both ends", async () => {
    const lengths = new Set<number>();
    for (let seed = 0; seed < 40; seed++) {
      const place = town(seed);
      const heard = sink(place);
      const near = dial(place);
      await place.pass(10);
      near.stream.write(text("0123456789"));
      place.network.cut("server", "client");
      near.stream.write(text("into the void"));
      await place.pass(50);
      expect("0123456789".startsWith(heard[0]!.text())).toBe(true);
      lengths.add(heard[0]!.text().length);
      expect([near.ends, heard[0]!.ends]).toEqual([["reset"], ["reset"]]);
      expect(place.network.connectionCount).toBe(0);
    }
    expect(lengths.size).toBeGreaterThan(5);
  });

  test("half-open: one direction is dead, nobody is told, the other goes on; a heal may tell both", async () => {
    const place = town();
    const heard = sink(place);
    const near = dial(place);
    await place.pass(10);
    place.network.halfOpen({ from: "server", to: "client" });
    near.stream.write(text("up"));
    heard[0]!.stream.write(text("down"));
    await place.pass(60_000);
    expect([heard[0]!.text(), near.text(), near.ends, heard[0]!.ends]).toEqual(["up", "", [], []]);
    place.network.heal({ resetDead: false });
    await place.pass(60_000);
    expect(near.ends).toEqual([]);
    place.network.heal({ resetDead: true });
    await place.pass(100);
    expect([near.ends, heard[0]!.ends]).toEqual([["reset"], ["reset"]]);
    expect(place.network.connectionCount).toBe(0);
  });

  test("corruption flips single bits, only where asked for", async () => {
    const place = town();
    place.network.shape({ corruptPerPiece: 1 }, { from: "client", to: "server" });
    echo(place.network, place.server);
    const heard = sink({ ...place, server: place.scheduler.host("other") });
    const near = listenTo(place.network.dial(place.client, { host: "server", port: 1 }));
    const clean = listenTo(place.network.dial(place.client, { host: "other", port: 1 }));
    near.stream.write(text("aaaaaaaa\n"));
    clean.stream.write(text("bbbb"));
    await place.pass(50);
    expect(near.text()).not.toBe("AAAAAAAA\n");
    expect(heard[0]!.text()).toBe("bbbb");
  });

  test("a bit that is turned under a seal ends the connection, and nothing of that piece is given to anybody", async () => {
    const { network, server, client, scheduler } = town();
    const got: string[] = [];
    network.listen(server, 1, (stream) => {
      stream.isSealed = true;
      stream.onData = (bytes) => got.push(read([bytes]));
      stream.onClose = (why) => got.push(why);
    });
    const ends: string[] = [];
    const open = (): SimStream => {
      const stream = network.dial(client, { host: "server", port: 1 });
      stream.onClose = (why) => ends.push(why);
      return stream;
    };
    const first = open();
    first.write(text("one"));
    await scheduler.run({ until: millis(scheduler.now() + 100) });
    network.flip({ from: "client", to: "server" });
    first.write(text("two"));
    await scheduler.run({ until: millis(scheduler.now() + 100) });
    first.write(text("three"));
    await scheduler.run({ until: millis(scheduler.now() + 100) });
    expect(got).toEqual(["one", "reset"]);
    expect(ends).toEqual(["reset"]);
    // One bit, one connection: the next is sound.
    open().write(text("four"));
    await scheduler.run({ until: millis(scheduler.now() + 100) });
    expect(got).toEqual(["one", "reset", "four"]);
  });

  test("a killed server: port refused at once, a part and a reset for its clients, a clean port afterwards", async () => {
    const place = town();
    const heard = sink(place);
    const near = dial(place);
    await place.pass(10);
    heard[0]!.stream.write(text("0123456789"));
    near.stream.write(text("never read"));
    place.server.crash("killed");
    const refused = dial(place);
    await place.pass(50);
    expect("0123456789".startsWith(near.text())).toBe(true);
    expect([near.ends, refused.ends]).toEqual([["reset"], ["refused"]]);
    // The process is gone: it hears nothing, not even of its own end.
    expect([heard[0]!.ends, heard[0]!.text()]).toEqual([[], ""]);
    place.server.start();
    const again = sink(place);
    dial(place).stream.write(text("back"));
    await place.pass(50);
    expect(again[0]!.text()).toBe("back");
  });

  test("a server without power says nothing; once it is back it resets what speaks to it", async () => {
    const place = town();
    sink(place);
    const quiet = dial(place);
    const talking = dial(place);
    await place.pass(10);
    place.server.crash("powerLoss");
    talking.stream.write(text("anybody there?"));
    const late = dial(place);
    await place.pass(5_000);
    expect([quiet.ends, talking.ends, late.ends]).toEqual([[], [], []]);
    place.server.start();
    const heard = sink(place);
    late.stream.write(text("found you"));
    await place.pass(3_000);
    expect([quiet.ends, talking.ends]).toEqual([[], ["reset"]]);
    expect(heard[0]!.text()).toBe("found you");
    quiet.stream.write(text("and me?"));
    await place.pass(100);
    expect(quiet.ends).toEqual(["reset"]);
  });

  test("a client that crashed leaves no trace in its next life", async () => {
    const place = town();
    const heard = sink(place);
    const near = dial(place);
    await place.pass(10);
    place.client.crash("killed");
    place.client.start();
    near.stream.write(text("ghost"));
    near.stream.close();
    await place.pass(100);
    expect([near.ends, heard[0]!.ends, heard[0]!.text()]).toEqual([[], ["reset"], ""]);
  });

  test("a paused server: connections are accepted by its kernel, bytes wait for it", async () => {
    const place = town();
    const heard = sink(place);
    place.server.pause(3_000);
    const near = dial(place);
    let openedAt = 0;
    near.stream.onOpen = () => (openedAt = place.scheduler.now());
    near.stream.write(text("patience"));
    await place.pass(2_000);
    expect(openedAt).toBeGreaterThan(0);
    expect(heard).toEqual([]);
    await place.pass(1_100);
    expect(heard[0]!.text()).toBe("patience");
  });
});

test("the same seed gives the same bytes in the same pieces; other bytes give another hash", async () => {
  const run = async (seed: number, word: string): Promise<{ hash: string; pieces: number[] }> => {
    const place = town(seed);
    place.network.shape({ jitterMeanMs: 20, chop: { kind: "pieces", bytesMax: 5 } });
    echo(place.network, place.server);
    const heard = dial(place);
    for (let n = 0; n < 50; n++) heard.stream.write(text(`${word} ${n}\n`));
    place.scheduler.after(millis(100), "cut", () => place.network.clog({ from: "server", to: "client", forMs: 50 }));
    await place.pass(1_000);
    return { hash: place.scheduler.traceHash(), pieces: heard.pieces.map((piece) => piece.length) };
  };
  const first = await run(3, "ab");
  expect(await run(3, "ab")).toEqual(first);
  expect((await run(4, "ab")).hash).not.toBe(first.hash);
  expect((await run(3, "ac")).hash).not.toBe(first.hash);
});
