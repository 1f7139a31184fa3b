import { describe, expect, test } from "vitest";
import type { ClusterId } from "../../src/base/ids.ts";
import {
  decodeGreeting,
  encodeGreeting,
  type GreetingMessage,
  negotiate,
  peerVersions,
} from "../../src/transport/greeting.ts";
import {
  greet,
  type GreetingInput,
  type GreetingState,
  type Self,
  type Verdict,
} from "../../src/transport/greeting-machine.ts";
import { frameHeaderBytes } from "../../src/transport/peer-frame.ts";
import { refusalCodeOf, refusals, type RefusalCode } from "../../src/transport/refusals.ts";
import type { RemoteServer, RunId } from "../../src/transport/remote-server.ts";
import { cluster, incarnationOf, named } from "./link-town.ts";

const server = (name: string): RemoteServer => ({
  name: named(name),
  incarnation: incarnationOf(name),
  run: Buffer.from(`run of ${name}`.padEnd(16)).toString("hex") as RunId,
  cluster,
});
const self: Self = { identity: server("n1"), versions: { min: 2, max: 4 }, retired: new Set([incarnationOf("n8")]) };
const ownNonce = "0a".repeat(16);
const otherNonce = "0b".repeat(16);

const remote = server("n2");
const states: Record<GreetingState["state"], GreetingState> = {
  dialling: { state: "dialling", to: named("n2") },
  greeted: { state: "greeted", to: named("n2"), nonce: ownNonce },
  confirmed: { state: "confirmed", remote, version: 3, choice: 5 },
  listening: { state: "listening" },
  welcoming: { state: "welcoming", remote, version: 3, nonce: ownNonce },
  linked: { state: "linked", remote, version: 3 },
  ended: { state: "ended" },
};
const inputs: Record<GreetingInput["type"], GreetingInput> = {
  opened: { type: "opened" },
  hello: { type: "hello", versions: { min: 1, max: 3 }, from: remote, nonce: otherNonce, to: named("n1") },
  welcome: { type: "welcome", version: 3, from: remote, nonce: otherNonce, echo: ownNonce },
  confirm: { type: "confirm", echo: ownNonce, choice: 0, insists: false },
  ready: { type: "ready", choice: 5 },
  refuse: { type: "refuse", code: "duplicate", text: "" },
  deadline: { type: "deadline" },
  malformed: { type: "malformed", text: "x" },
};

const keep: Verdict = { verdict: "keep", choice: 5, insists: false };

function run(state: GreetingState, input: GreetingInput, verdict: Verdict = keep): string {
  const step = greet(state, input, self, { drawNonce: () => ownNonce, judge: () => verdict });
  const said = step.reply === null ? "" : `, says ${step.reply.type}`;
  const why = step.refusal === null ? "" : `, ${step.refusal.by}: ${step.refusal.code}`;
  return `${step.state.state}${said}${why}`;
}

const bad = "ended, says refuse, us: malformed";
const slow = "ended, says refuse, us: slow";
const told = "ended, them: duplicate";

const table: Record<GreetingState["state"], Record<GreetingInput["type"], string>> = {
  dialling: {
    opened: "greeted, says hello",
    hello: bad,
    welcome: bad,
    confirm: bad,
    ready: bad,
    refuse: told,
    deadline: slow,
    malformed: bad,
  },
  greeted: {
    opened: bad,
    hello: bad,
    welcome: "confirmed, says confirm",
    confirm: bad,
    ready: bad,
    refuse: told,
    deadline: slow,
    malformed: bad,
  },
  confirmed: {
    opened: bad,
    hello: bad,
    welcome: bad,
    confirm: bad,
    ready: "linked",
    refuse: told,
    deadline: slow,
    malformed: bad,
  },
  listening: {
    opened: bad,
    hello: "welcoming, says welcome",
    welcome: bad,
    confirm: bad,
    ready: bad,
    refuse: told,
    deadline: slow,
    malformed: bad,
  },
  welcoming: {
    opened: bad,
    hello: bad,
    welcome: bad,
    confirm: "linked, says ready",
    ready: bad,
    refuse: told,
    deadline: slow,
    malformed: bad,
  },
  linked: {
    opened: bad,
    hello: bad,
    welcome: bad,
    confirm: bad,
    ready: bad,
    refuse: told,
    deadline: "linked",
    malformed: bad,
  },
  ended: {
    opened: "ended",
    hello: "ended",
    welcome: "ended",
    confirm: "ended",
    ready: "ended",
    refuse: "ended",
    deadline: "ended",
    malformed: "ended",
  },
};

describe("how a connection comes to be a link", () => {
  test("[PEER5] every input has an answer in every state; what is ended stays so", () => {
    const found = Object.fromEntries(
      Object.entries(states).map(([state, value]) => [
        state,
        Object.fromEntries(Object.entries(inputs).map(([input, what]) => [input, run(value, what)])),
      ]),
    );
    expect(found).toEqual(table);
  });

  test("[PEER5] whoever holds the links has the last word, on either side, and the other side is told", () => {
    const refuse: Verdict = { verdict: "refuse", code: "duplicate" };
    const said = "ended, says refuse, us: duplicate";
    expect(run(states.greeted, inputs.welcome, refuse)).toBe(said);
    expect(run(states.welcoming, inputs.confirm, refuse)).toBe(said);
    expect(run({ state: "confirmed", remote, version: 3, choice: 0 }, inputs.ready, refuse)).toBe(said);
  });

  const hello = inputs.hello as Extract<GreetingMessage, { type: "hello" }>;
  const welcome = inputs.welcome as Extract<GreetingMessage, { type: "welcome" }>;
  const foreign = { ...remote, cluster: "c9".repeat(16) as ClusterId };
  test.each<[RefusalCode, string, GreetingState, GreetingInput]>([
    ["version", "too old a dialler", states.listening, { ...hello, versions: { min: 1, max: 1 } }],
    ["version", "too new a dialler", states.listening, { ...hello, versions: { min: 5, max: 9 } }],
    ["version", "an acceptor that chose what was not offered", states.greeted, { ...welcome, version: 5 }],
    ["wrong_cluster", "a dialler of another cluster", states.listening, { ...hello, from: foreign }],
    ["wrong_cluster", "an acceptor of another cluster", states.greeted, { ...welcome, from: foreign }],
    ["wrong_node", "a dialler that meant another", states.listening, { ...hello, to: named("n7") }],
    ["wrong_node", "an acceptor that is another", states.greeted, { ...welcome, from: server("n7") }],
    ["same_node", "a dialler called as this server", states.listening, { ...hello, from: server("n1") }],
    ["same_node", "this server itself", states.greeted, { ...welcome, from: server("n1") }],
    ["old_incarnation", "a dialler's retired directory", states.listening, { ...hello, from: server("n8") }],
    ["old_incarnation", "an acceptor's retired directory", states.greeted, { ...welcome, from: server("n8") }],
    ["replay", "a welcome for another connection", states.greeted, { ...welcome, echo: otherNonce }],
    [
      "replay",
      "a confirmation for another connection",
      states.welcoming,
      { type: "confirm", echo: otherNonce, choice: 0, insists: true },
    ],
    ["replay", "another link than the one offered", states.confirmed, { type: "ready", choice: 6 }],
  ])("[PEER6] %s: %s", (code, _what, state, input) => {
    expect(run(state, input)).toBe(`ended, says refuse, us: ${code}`);
  });

  test("[PEER6] a server without a cluster yet is taken by one that has one, and the other way round", () => {
    const none = { ...remote, cluster: null };
    expect(run(states.listening, { ...hello, from: none })).toBe("welcoming, says welcome");
    expect(run(states.greeted, { ...welcome, from: none })).toBe("confirmed, says confirm");
    const empty: Self = { ...self, identity: { ...self.identity, cluster: null } };
    const ports = { drawNonce: () => ownNonce, judge: () => keep };
    expect(greet(states.listening, { ...hello, from: foreign }, empty, ports).state.state).toBe("welcoming");
  });

  test("[PEER8] the highest version that both speak is used; none in common is said", () => {
    const cases: [min: number, max: number, min2: number, max2: number, version: number | null][] = [
      [1, 1, 1, 1, 1],
      [1, 3, 2, 5, 3],
      [2, 5, 1, 3, 3],
      [1, 2, 3, 4, null],
      [3, 4, 1, 2, null],
      [2, 2, 1, 9, 2],
    ];
    for (const [min, max, min2, max2, version] of cases) {
      expect(negotiate({ min, max }, { min: min2, max: max2 })).toBe(version);
    }
    const step = greet(states.listening, hello, self, { drawNonce: () => ownNonce, judge: () => keep });
    expect(step.reply).toMatchObject({ type: "welcome", version: 3 });
    expect(peerVersions.min).toBeLessThanOrEqual(peerVersions.max);
  });
});

describe("frames of a greeting", () => {
  const messages: GreetingMessage[] = [
    inputs.hello as GreetingMessage,
    { ...(inputs.hello as Extract<GreetingMessage, { type: "hello" }>), from: { ...remote, cluster: null } },
    inputs.welcome as GreetingMessage,
    { type: "confirm", echo: ownNonce, choice: 2 ** 40, insists: true },
    { type: "ready", choice: 2 ** 40 },
    ...(Object.keys(refusals) as RefusalCode[]).map(
      (code) => ({ type: "refuse", code, text: `about ${code}` }) as const,
    ),
  ];

  test("[PEER8] come back as they were written, and may have fields of a newer version behind them", () => {
    for (const message of messages) {
      const bytes = encodeGreeting(message);
      expect(decodeGreeting(bytes[4]!, bytes.subarray(frameHeaderBytes))).toEqual(message);
      const longer = new Uint8Array([...bytes.subarray(frameHeaderBytes), 1, 2, 3]);
      expect(decodeGreeting(bytes[4]!, longer)).toEqual(message);
    }
  });

  test("[PEER10] cut short anywhere they are no message", () => {
    for (const message of messages) {
      const bytes = encodeGreeting(message);
      for (let length = 0; length < bytes.length - frameHeaderBytes; length++) {
        expect(decodeGreeting(bytes[4]!, bytes.subarray(frameHeaderBytes, frameHeaderBytes + length))).toBe(null);
      }
    }
  });

  test("[PEER6] every code has a number of its own, and an unknown one is no reason to fail", () => {
    const numbers = Object.values(refusals).map(({ number }) => number);
    expect(new Set(numbers).size).toBe(numbers.length);
    expect(refusalCodeOf(60_000)).toBe(null);
    const bytes = encodeGreeting({ type: "refuse", code: "slow", text: "a\nb\u0007\u00e9" });
    expect(decodeGreeting(bytes[4]!, bytes.subarray(frameHeaderBytes))).toMatchObject({ text: "a?b??" });
  });

  test("[PEER10] a name that no server may have is no greeting", () => {
    for (const name of ["", "../x", "a b", "-x", "a\n", "x".repeat(61)]) {
      const bytes = encodeGreeting({
        ...(inputs.hello as Extract<GreetingMessage, { type: "hello" }>),
        to: named(name),
      });
      expect([name, decodeGreeting(bytes[4]!, bytes.subarray(frameHeaderBytes))]).toEqual([name, null]);
    }
  });
});
