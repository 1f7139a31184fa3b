import { unreachable } from "../base/assert.ts";
import type { Incarnation, NodeName } from "../base/ids.ts";
import {
  type GreetingMessage,
  type Hello,
  negotiate,
  type Nonce,
  type VersionRange,
  type Welcome,
} from "./greeting.ts";
import type { RefusalCode } from "./refusals.ts";
import type { RemoteServer } from "./remote-server.ts";

/**
 * How one connection comes to be a link, pure: the dialler goes dialling, greeted, confirmed, linked; the acceptor
 * listening, welcoming, linked. Whatever does not fit ends it with a reason that the other side can read.
 *
 * 1. nothing of the callers passes before `linked`
 * 2. `linked` needs an echo of the number drawn for this connection: a recorded greeting fits no other
 * 3. the dialler is linked only after the acceptor is
 * 4. `ended` is final
 */
export type GreetingState =
  | { readonly state: "dialling"; readonly to: NodeName }
  | { readonly state: "greeted"; readonly to: NodeName; readonly nonce: Nonce }
  | { readonly state: "confirmed"; readonly remote: RemoteServer; readonly version: number; readonly choice: number }
  | { readonly state: "listening" }
  | { readonly state: "welcoming"; readonly remote: RemoteServer; readonly version: number; readonly nonce: Nonce }
  | { readonly state: "linked"; readonly remote: RemoteServer; readonly version: number }
  | { readonly state: "ended" };

export type GreetingInput =
  | { readonly type: "opened" }
  | GreetingMessage
  /** The greeting takes too long. */
  | { readonly type: "deadline" }
  /** What came is no frame that may come now. */
  | { readonly type: "malformed"; readonly text: string };

/** Why a connection ended, and which side said so. */
export interface Refusal {
  /** Null: the other side gave a code that this version does not know. */
  readonly code: RefusalCode | null;
  readonly text: string;
  readonly by: "us" | "them";
}

export interface GreetingStep {
  readonly state: GreetingState;
  /** Null: nothing to say. */
  readonly reply: GreetingMessage | null;
  /** Set when the step ended the connection. */
  readonly refusal: Refusal | null;
}

/** What this server says of itself, and whom it does not take. */
export interface Self {
  readonly identity: RemoteServer;
  readonly versions: VersionRange;
  readonly retired: ReadonlySet<Incarnation>;
}

/** A connection that could be the link between this server and another. */
export interface Claim {
  readonly remote: RemoteServer;
  readonly dialledBy: "us" | "them";
  /** The number the arbiter gave it; 0 while it has none. */
  readonly choice: number;
  readonly insists: boolean;
}

export type Verdict =
  | { readonly verdict: "keep"; readonly choice: number; readonly insists: boolean }
  | { readonly verdict: "refuse"; readonly code: RefusalCode };

/** What a greeting needs of whoever holds all links. */
export interface GreetingPorts {
  drawNonce(): Nonce;
  /** Whether this connection is to be the link. Asked once for each connection, when both sides are known. */
  judge(claim: Claim): Verdict;
}

export function greet(state: GreetingState, input: GreetingInput, self: Self, ports: GreetingPorts): GreetingStep {
  if (state.state === "ended") return { state, reply: null, refusal: null };
  if (input.type === "refuse") return { state: ended, reply: null, refusal: { ...input, by: "them" } };
  if (input.type === "malformed") return refuse("malformed", input.text);
  if (input.type === "deadline") {
    return state.state === "linked" ? stay(state) : refuse("slow", `no more came while ${state.state}`);
  }
  switch (state.state) {
    case "dialling": {
      if (input.type !== "opened") return unexpected(state, input);
      const nonce = ports.drawNonce();
      const { identity: from, versions } = self;
      return {
        state: { state: "greeted", to: state.to, nonce },
        reply: { type: "hello", versions, from, nonce, to: state.to },
        refusal: null,
      };
    }
    case "greeted":
      return input.type === "welcome" ? welcomed(state, input, self, ports) : unexpected(state, input);
    case "confirmed":
      return input.type === "ready" ? ready(state, input.choice, ports) : unexpected(state, input);
    case "listening":
      return input.type === "hello" ? heardHello(input, self, ports) : unexpected(state, input);
    case "welcoming": {
      if (input.type !== "confirm") return unexpected(state, input);
      if (input.echo !== state.nonce) return refuse("replay", "the confirmation answers another connection");
      const { remote, version } = state;
      const { choice, insists } = input;
      const verdict = ports.judge({ remote, dialledBy: "them", choice, insists });
      if (verdict.verdict === "refuse")
        return refuse(verdict.code, `of the link between ${remote.name} and this server`);
      return {
        state: { state: "linked", remote, version },
        reply: { type: "ready", choice: verdict.choice },
        refusal: null,
      };
    }
    case "linked":
      return unexpected(state, input);
    default:
      return unreachable(state);
  }
}

const ended: GreetingState = { state: "ended" };

function heardHello(hello: Hello, self: Self, ports: GreetingPorts): GreetingStep {
  const version = negotiate(self.versions, hello.versions);
  if (version === null) return refuseVersions(self.versions, hello.versions);
  const { name } = self.identity;
  const bad = refuseIdentity(hello.from, self);
  if (bad !== null) return bad;
  if (hello.to !== name) return refuse("wrong_node", `${hello.from.name} dialled ${hello.to}, this is ${name}`);
  const nonce = ports.drawNonce();
  return {
    state: { state: "welcoming", remote: hello.from, version, nonce },
    reply: { type: "welcome", version, from: self.identity, nonce, echo: hello.nonce },
    refusal: null,
  };
}

function welcomed(
  state: Extract<GreetingState, { state: "greeted" }>,
  welcome: Welcome,
  self: Self,
  ports: GreetingPorts,
): GreetingStep {
  const { from: remote, version, echo } = welcome;
  if (echo !== state.nonce) return refuse("replay", "the welcome answers another connection");
  if (version < self.versions.min || version > self.versions.max) {
    return refuseVersions(self.versions, { min: version, max: version });
  }
  const bad = refuseIdentity(remote, self);
  if (bad !== null) return bad;
  if (remote.name !== state.to) return refuse("wrong_node", `dialled ${state.to}, ${remote.name} answered`);
  const verdict = ports.judge({ remote, dialledBy: "us", choice: 0, insists: false });
  if (verdict.verdict === "refuse") return refuse(verdict.code, `of the link between ${remote.name} and this server`);
  const { choice, insists } = verdict;
  return {
    state: { state: "confirmed", remote, version, choice },
    reply: { type: "confirm", echo: welcome.nonce, choice, insists },
    refusal: null,
  };
}

/** The acceptor took the link. Where it is the arbiter, its number is new here and is judged; else it is the one given. */
function ready(
  state: Extract<GreetingState, { state: "confirmed" }>,
  choice: number,
  ports: GreetingPorts,
): GreetingStep {
  const { remote, version } = state;
  if (state.choice === 0) {
    const verdict = ports.judge({ remote, dialledBy: "us", choice, insists: false });
    if (verdict.verdict === "refuse") return refuse(verdict.code, `of the link between ${remote.name} and this server`);
  } else if (state.choice !== choice) {
    return refuse("replay", "the other side took another link than the one offered");
  }
  return { state: { state: "linked", remote, version }, reply: null, refusal: null };
}

function refuseIdentity(remote: RemoteServer, self: Self): GreetingStep | null {
  const own = self.identity;
  if (remote.cluster !== null && own.cluster !== null && remote.cluster !== own.cluster) {
    return refuse("wrong_cluster", `${remote.name} is of cluster ${remote.cluster}, ${own.name} of ${own.cluster}`);
  }
  if (remote.name === own.name) return refuse("same_node", `two servers are called ${own.name}`);
  if (self.retired.has(remote.incarnation)) {
    return refuse("old_incarnation", `${remote.name} comes with the retired directory ${remote.incarnation}`);
  }
  return null;
}

function refuseVersions(own: VersionRange, other: VersionRange): GreetingStep {
  return refuse("version", `this server speaks ${own.min} to ${own.max}, the other ${other.min} to ${other.max}`);
}

function refuse(code: RefusalCode, text: string): GreetingStep {
  return { state: ended, reply: { type: "refuse", code, text }, refusal: { code, text, by: "us" } };
}

function unexpected(state: GreetingState, input: GreetingInput): GreetingStep {
  return refuse("malformed", `${input.type} came while ${state.state}`);
}

function stay(state: GreetingState): GreetingStep {
  return { state, reply: null, refusal: null };
}
