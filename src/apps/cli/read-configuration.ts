import { readFile } from "node:fs/promises";
import { isMap, isScalar, isSeq, LineCounter, parseDocument } from "yaml";
import { type Limits, limitMistakes } from "../../base/limits.ts";
import { type Configuration, configurationSchema } from "./configuration.ts";
import { CommandFailed, exitCodes } from "../terminal/exit-codes.ts";
import { nearestName } from "./nearest-name.ts";
import { clientVariables, optionOf, type Setting, settings, variableOf } from "./settings.ts";

/** A value somebody gave, and where, in words for a message: `--port`, `SYNOD_PORT`, `synod.yaml line 3`. */
interface Given {
  readonly value: unknown;
  readonly from: string;
}

export interface ReadConfiguration {
  readonly configuration: Configuration;
  /** Keys that somebody gave, wherever; the others have their defaults. */
  readonly given: ReadonlySet<string>;
  /** Things to tell that are no errors. */
  readonly warnings: readonly string[];
}

/** A configuration file is written by hand. */
const fileCharactersMax = 1024 * 1024;

const byKey = new Map(settings.map((setting) => [setting.key, setting]));

/** What stands over several keys: `flush`, `auth`. */
const sections = new Set(settings.flatMap(({ key }) => (key.includes(".") ? [key.split(".")[0]!] : [])));

/**
 * Puts the configuration together: flags over environment over file over defaults. Throws `CommandFailed` (usage) with
 * every mistake there is, one a line, each with where it stands.
 */
export async function readConfiguration(sources: {
  /** What commander read, by option. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Path of the configuration file, or null. */
  readonly file: string | null;
}): Promise<ReadConfiguration> {
  const given = new Map<string, Given>();
  const mistakes: string[] = [];
  const warnings: string[] = [];
  if (sources.file !== null) readFileSettings(await textOf(sources.file), sources.file, given, mistakes);
  readEnvironment(sources.environment, given, warnings);
  readFlags(sources.flags, given);
  const checked = configurationSchema.safeParse(nested(given));
  if (!checked.success) {
    for (const { path, message } of checked.error.issues) {
      const place = placeOf(path.map(String), given);
      mistakes.push(place === null ? `${path.join(".")} ${message}` : `${place.key} ${message} (${place.from})`);
    }
  }
  if (checked.success) mistakes.push(...mistakesOfLimits(checked.data.limits, given));
  if (!checked.success || mistakes.length > 0) throw new CommandFailed(exitCodes.usage, mistakes.join("\n"));
  return { configuration: checked.data, given: new Set(given.keys()), warnings };
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CommandFailed(exitCodes.usage, `the configuration file can't be read: ${why}`, { cause });
  }
}

function readFileSettings(text: string, file: string, given: Map<string, Given>, mistakes: string[]): void {
  if (text.length > fileCharactersMax) {
    mistakes.push(`${file} is too large for a configuration file`);
    return;
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  for (const { message } of document.errors) mistakes.push(`${file}: ${message}`);
  if (document.errors.length > 0 || document.contents === null) return;

  const walk = (node: unknown, path: string): void => {
    if (!isMap(node)) {
      mistakes.push(`${path === "" ? file : `${path} in ${file}`} must hold keys and values`);
      return;
    }
    for (const { key, value } of node.items) {
      const name = isScalar(key) ? String(key.value) : String(key);
      const line = isScalar(key) && key.range ? ` line ${lines.linePos(key.range[0]).line}` : "";
      const whole = path === "" ? name : `${path}.${name}`;
      const from = `${file}${line}`;
      if (byKey.has(whole)) given.set(whole, { value: plain(value), from });
      else if (sections.has(whole)) {
        if (!(isScalar(value) && value.value === null)) walk(value, whole);
      } else mistakes.push(`unknown key ${whole} (${from})${didYouMean(whole, [...sections, ...byKey.keys()])}`);
    }
  };
  walk(document.contents, "");
}

function plain(value: unknown): unknown {
  if (isScalar(value)) return value.value;
  if (isSeq(value)) return value.items.map(plain);
  // Not what any setting takes; the schema says so.
  return value === null ? null : {};
}

/** What names a variable that belongs to no setting is told, not refused: a container platform may set some of its own. */
function readEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  given: Map<string, Given>,
  warnings: string[],
): void {
  const byVariable = new Map(settings.map((setting) => [variableOf(setting.key), setting]));
  for (const [name, text] of Object.entries(environment)) {
    if (!name.startsWith("SYNOD_") || text === undefined || clientVariables.includes(name)) continue;
    const setting = byVariable.get(name);
    if (setting === undefined) warnings.push(`unknown variable ${name}${didYouMean(name, byVariable.keys())}`);
    else given.set(setting.key, { value: valueOf(setting, text), from: name });
  }
}

function readFlags(flags: Readonly<Record<string, unknown>>, given: Map<string, Given>): void {
  for (const setting of settings) {
    if (setting.flag === null) continue;
    const text = flags[optionOf(setting.flag)];
    if (typeof text !== "string") continue;
    given.set(setting.key, { value: valueOf(setting, text), from: setting.flag.split(" ")[0]! });
  }
}

/** Text as the type it should have; left as it is when it isn't, for the schema to say so. */
function valueOf(setting: Setting, text: string): unknown {
  if (setting.type === "number") return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
  if (setting.type === "list") return text === "" ? [] : text.split(",").map((part) => part.trim());
  return text;
}

function nested(given: ReadonlyMap<string, Given>): object {
  const whole: Record<string, unknown> = {};
  for (const { key, default: fallback } of settings) {
    const [first, second] = key.split(".") as [string, string?];
    const value = given.has(key) ? given.get(key)!.value : fallback;
    if (second === undefined) whole[first] = value;
    else ((whole[first] ??= {}) as Record<string, unknown>)[second] = value;
  }
  return whole;
}

// Of bounds that don't go together at least one was given: the defaults do.
function mistakesOfLimits(limits: Limits, given: ReadonlyMap<string, Given>): string[] {
  return limitMistakes(limits).map(({ limit, message, against }) => {
    const places = [limit, ...against].flatMap((name) => {
      const place = given.get(`limits.${name}`);
      return place === undefined ? [] : [name === limit ? place.from : `limits.${name}: ${place.from}`];
    });
    return `limits.${limit} ${message} (${places.join(", ")})`;
  });
}

function placeOf(path: readonly string[], given: ReadonlyMap<string, Given>): { key: string; from: string } | null {
  for (let length = path.length; length > 0; length--) {
    const key = path.slice(0, length).join(".");
    const found = given.get(key);
    if (found !== undefined) return { key, from: found.from };
  }
  return null;
}

function didYouMean(name: string, names: Iterable<string>): string {
  const nearest = nearestName(name, names);
  return nearest === null ? "" : `; did you mean ${nearest}?`;
}
