import { logIndex } from "../../src/base/ids.ts";
import {
  type Change,
  type Changed,
  changed,
  changedSimply,
  enteredJoint,
  leftJoint,
} from "../../src/consensus/configuration-change.ts";
import { type Configuration, configurationOf, nobody } from "../../src/consensus/configuration.ts";
import type { Message } from "../../src/consensus/messages.ts";
import { reached, tally } from "../../src/consensus/quorum.ts";
import type { ReplicaId } from "../../src/consensus/replica.ts";
import type { GroupSettings } from "../../src/consensus/settings.ts";
import { ensure } from "./ensure.ts";
import { replicaOf, Stage, tellConfiguration, tellMessage } from "./stage.ts";

/** One `command`, and what it must tell. */
export interface Block {
  readonly line: number;
  readonly comment: string;
  readonly command: string;
  readonly expected: string;
}

/** Blocks of a file: comments, one command or several, `----`, the lines they tell, an empty line. */
export function parseScenario(text: string): Block[] {
  const blocks: Block[] = [];
  const lines = text.split("\n");
  for (let at = 0; at < lines.length; ) {
    const start = at;
    const comment: string[] = [];
    while (at < lines.length && (lines[at]!.startsWith("#") || lines[at] === "")) comment.push(lines[at++]!);
    if (at >= lines.length) break;
    const command: string[] = [];
    while (at < lines.length && lines[at] !== "----") command.push(lines[at++]!);
    ensure(at < lines.length, `line ${start + 1}: a command without ----`);
    at++;
    const expected: string[] = [];
    while (at < lines.length && lines[at] !== "") expected.push(lines[at++]!);
    blocks.push({
      line: start + 1,
      comment: comment.join("\n"),
      command: command.join("\n"),
      expected: expected.join("\n"),
    });
  }
  return blocks;
}

/** The file with what its commands tell now. */
export function performScenario(text: string): { block: Block; told: string }[] {
  const performer = new Performer();
  return parseScenario(text).map((block) => ({ block, told: performer.perform(block) }));
}

export function writeScenario(performed: readonly { block: Block; told: string }[]): string {
  return performed
    .map(
      ({ block, told }) =>
        `${block.comment === "" ? "" : `${block.comment}\n`}${block.command}\n----\n${told}${told === "" ? "" : "\n"}`,
    )
    .join("\n")
    .replace(/\n\n\n+/g, "\n\n");
}

/** Runs the commands of one file. Every command is one line: a verb, names of servers, and options `key=value`. */
class Performer {
  #stage = new Stage();
  #configuration: Configuration = nobody;
  #kept: Message[] = [];
  #mail: Message[] = [];

  perform(block: Block): string {
    const told: string[] = [];
    for (const line of block.command.split("\n")) {
      try {
        told.push(...this.#command(line));
      } catch (failure) {
        throw new Error(`line ${block.line}, "${line}": ${(failure as Error).message}`, { cause: failure });
      }
    }
    return told.join("\n");
  }

  #command(line: string): string[] {
    const words = line.match(/[^\s(]*\([^)]*\)|\S+/g) ?? [];
    const [verb, ...rest] = words as [string, ...string[]];
    const options = new Map(
      rest.filter((word) => word.includes("=")).map((word) => word.split("=", 2) as [string, string]),
    );
    const names = rest.filter((word) => !word.includes("="));
    const told = this.#perform(verb, names, options);
    const lines = [...this.#stage.lines, ...told];
    this.#stage.lines.length = 0;
    return lines;
  }

  #perform(verb: string, names: string[], options: Map<string, string>): string[] {
    const stage = this.#stage;
    const [first = "", second = ""] = names;
    switch (verb) {
      // Arithmetic of majorities
      case "committed":
        return [committedOf(options)];
      case "vote":
        return [voteOf(options)];
      // Configurations
      case "configuration":
        this.#configuration = configurationOf(
          list(options, "voters").map(replicaOf),
          list(options, "learners").map(replicaOf),
        );
        return [tellConfiguration(this.#configuration)];
      case "simple":
        return this.#changed(changedSimply(this.#configuration, changesOf(names)));
      case "enter-joint":
        return this.#changed(enteredJoint(this.#configuration, changesOf(names), options.get("leaves") === "itself"));
      case "leave-joint":
        return this.#changed(leftJoint(this.#configuration));
      case "change-to":
        return this.#changed(changed(this.#configuration, changesOf(names)));
      // Servers
      case "settings":
        this.#stage = new Stage(settingsOf(options));
        return [];
      case "servers": {
        const voters = list(options, "voters");
        const learners = list(options, "learners");
        for (const name of [...voters, ...learners]) stage.add(name, { voters, learners });
        stage.everybodyHears();
        stage.lines.length = 0;
        return [];
      }
      case "server": {
        const log = list(options, "log").map(Number);
        const [term, committed] = [Number(options.get("term") ?? "0"), Number(options.get("commit") ?? "0")];
        stage.add(first, {
          voters: list(options, "voters"),
          learners: list(options, "learners"),
          term,
          log,
          committed,
        });
        for (const other of stage.names()) if (other !== first) this.#meet(first, other);
        return [];
      }
      case "crash":
        for (const name of names) stage.crash(name);
        return [];
      case "restart":
        for (const name of names) {
          stage.crash(name);
          stage.start(name);
          for (const other of stage.names()) {
            if (other === name || !stage.isUp(other)) continue;
            stage.hears(name, other);
            stage.loses(other, name, true);
            stage.hears(other, name);
          }
        }
        return [];
      case "wipe":
        stage.wipe(first);
        for (const other of stage.names()) if (other !== first) this.#meet(first, other);
        return [];
      case "damage": {
        const [from = 0, to = 0] = second.split("-").map(Number);
        stage.actor(first).disk.durable.damaged = [{ first: logIndex(from), last: logIndex(to) }];
        return [];
      }
      // What is asked
      case "campaign":
        stage.step(first, { type: "campaign" });
        return [];
      case "elect":
        // The usual way to a leader, without its trace.
        stage.step(first, { type: "campaign" });
        stage.settle();
        stage.beat(
          first,
          stage.names().filter((name) => name !== first),
        );
        stage.settle();
        stage.lines.length = 0;
        return [this.#standing(first)];
      case "propose":
        for (const text of names.slice(1)) stage.propose(first, text);
        return [];
      case "propose-nothing":
        stage.propose(first, "");
        return [];
      case "change":
        stage.change(first, changesOf(names.slice(1)));
        return [];
      case "read":
        stage.step(first, { type: "read", id: Number(second) });
        return [];
      case "transfer":
        stage.step(first, { type: "transfer", to: stage.actor(second).replica });
        return [];
      case "forget-leader":
        stage.step(first, { type: "forget-leader" });
        return [];
      // Disks
      case "slow":
        for (const name of names) stage.actor(name).isSlow = true;
        return [];
      case "fast":
        for (const name of names) stage.actor(name).isSlow = false;
        return [];
      case "flush":
        stage.flush(first, second === "" ? undefined : Number(second));
        return [];
      case "compact":
        stage.compact(first, Number(second));
        return [];
      case "bring-snapshot":
        stage.bring(first, second);
        return [];
      // Network and time
      case "deliver":
        stage.deliver(this.#fits(names));
        return [];
      case "drop":
        this.#kept = stage.drop(this.#fits(names));
        return this.#kept.map((message) => `lost: ${tellMessage(message)}`);
      case "hold":
        this.#mail = stage.drop(this.#fits(names));
        return this.#mail.map((message) => `held: ${tellMessage(message)}`);
      case "release":
        for (const message of this.#mail) stage.again(message);
        return [];
      case "mail":
        return stage.mail.map(
          (message) => `${message.from.split("#")[0]} -> ${message.to.split("#")[0]} ${tellMessage(message)}`,
        );
      case "cut":
        stage.cut(first, second);
        if (options.get("one-way") !== "yes") stage.cut(second, first);
        return [];
      case "isolate":
        for (const other of stage.names()) {
          stage.cut(first, other);
          stage.cut(other, first);
        }
        return [];
      case "heal":
        stage.heal();
        return [];
      case "loses":
        stage.loses(first, second, options.get("crashed") === "yes");
        return [];
      case "hears":
        stage.hears(first, second);
        return [];
      case "disk":
        stage.disk(first, second, options.get("ok") === "yes");
        return [];
      case "beat":
        stage.beat(first, names.length > 1 ? names.slice(1) : stage.names().filter((name) => name !== first));
        return [];
      case "pass":
        stage.pass(Number(first));
        return [];
      case "settle":
        stage.settle();
        if (first !== "told") stage.lines.length = 0;
        return [];
      // Looking
      case "logs":
        return (names.length > 0 ? names : stage.names()).map((name) => stage.log(name));
      case "standing":
        return (names.length > 0 ? names : stage.names()).map((name) => this.#standing(name));
      case "progress":
        return stage
          .group(first)
          .progress.map(
            ({ replica, state, matched, next }) => `${replica.split("#")[0]} ${state} matched ${matched} next ${next}`,
          );
      case "members":
        return (names.length > 0 ? names : stage.names()).map(
          (name) => `n${name} ${tellConfiguration(stage.group(name).configuration)}`,
        );
      default:
        throw new Error(`no such command: ${verb}`);
    }
  }

  #meet(left: string, right: string): void {
    if (this.#stage.actor(left).group === null || this.#stage.actor(right).group === null) return;
    this.#stage.hears(left, right);
    this.#stage.hears(right, left);
    this.#stage.lines.length = 0;
  }

  #standing(name: string): string {
    const { role, term, leader, authoritative } = this.#stage.group(name).standing;
    const leads = role === "leader" || role === "elected";
    const follows = leads || leader === null ? "" : ` of ${leader.split("#")[0]}`;
    return `n${name} ${role}${follows} in term ${term}${leads && !authoritative ? ", without a quorum" : ""}`;
  }

  #changed(result: Changed): string[] {
    if (!result.ok) return [`refused: ${result.refusal}`];
    this.#configuration = result.configuration;
    return [tellConfiguration(this.#configuration)];
  }

  /** `1>2 append`: from 1 to 2, of that type; `*` for anybody; nothing for all. */
  #fits(names: readonly string[]): (message: Message) => boolean {
    const [link = "*>*", type] = names;
    const [from = "*", to = "*"] = link.split(">");
    return (message) =>
      (from === "*" || message.from.startsWith(`n${from}#`)) &&
      (to === "*" || message.to.startsWith(`n${to}#`)) &&
      (type === undefined || message.type === type);
  }
}

function list(options: Map<string, string>, key: string): string[] {
  const text = options.get(key) ?? "()";
  return text
    .replace(/[()]/g, "")
    .split(/[\s,]+/)
    .filter((word) => word !== "");
}

/** `v1 l2 r3`: 1 is to vote, 2 to learn, 3 to go. */
function changesOf(words: readonly string[]): Change[] {
  const types = { v: "voter", l: "learner", r: "remove" } as const;
  return words.map((word) => {
    const type = types[word[0] as "v" | "l" | "r"];
    const name = word.slice(1);
    return { type, replica: name.endsWith("'") ? (`n${name.slice(0, -1)}#2` as ReplicaId) : replicaOf(name) };
  });
}

function votersOf(options: Map<string, string>): { configuration: Configuration; all: string[] } {
  const voters = list(options, "voters");
  const outgoing = list(options, "outgoing");
  const configuration = { ...nobody, voters: voters.map(replicaOf), outgoing: outgoing.map(replicaOf) };
  return { configuration, all: [...new Set([...voters, ...outgoing])] };
}

/** `index=(100 101 _)`: one for each voter in the order they are named first; `_` has said nothing. */
function committedOf(options: Map<string, string>): string {
  const { configuration, all } = votersOf(options);
  const said = list(options, "index");
  const values = new Map(all.map((name, at) => [replicaOf(name), said[at] === "_" ? 0 : Number(said[at] ?? "0")]));
  const result = reached(configuration, (voter) => values.get(voter)!);
  const other = reached(
    { ...configuration, voters: configuration.outgoing, outgoing: configuration.voters },
    (voter) => values.get(voter)!,
  );
  ensure(result === other, "the halves of a configuration are not equal");
  return result === Infinity ? "everything" : String(result);
}

function voteOf(options: Map<string, string>): string {
  const { configuration, all } = votersOf(options);
  const said = list(options, "votes");
  const votes = new Map(
    all.map((name, at) => [replicaOf(name), said[at] === "y" ? true : said[at] === "n" ? false : null]),
  );
  return tally(configuration, (voter) => votes.get(voter)!);
}

function settingsOf(options: Map<string, string>): Partial<GroupSettings> {
  return Object.fromEntries([...options].map(([name, value]) => [name, Number(value)]));
}
