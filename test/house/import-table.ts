/**
 * Who may import whom, as data, and what may not be named where. ARCHITECTURE.md tells why; import-table.test.ts holds
 * src/ to it. A folder that is not in the table does not exist: add it here, with what it may know.
 */
import { posix } from "node:path";
import { importsOf, scan, type Token } from "./source-scanner.ts";

/** May import the folder, `files`: only files whose name fits, `typesOnly`: only types, which is what a port is. */
interface Allowance {
  readonly folder: string;
  readonly files?: RegExp;
  readonly typesOnly?: true;
}

interface Rule {
  /** Other folders of src/ it may import. Its own is always allowed. */
  readonly may: readonly (string | Allowance)[];
  /** Packages and `node:` modules it may import; "any" for those who meet the outside. */
  readonly packages: "any" | readonly string[];
  /** May read the clock, roll dice, start timers, and see the process: all of it, or the names in the list. */
  readonly outside?: true | readonly string[];
}

const checksums = ["node:zlib", "node:crypto"];

const library = [
  "base",
  "protocol",
  "rooms",
  "consensus",
  "storage",
  "transport",
  "topology",
  "server",
  "doors",
  "client",
  "platform/node",
  "platform/browser",
];

export const importTable: Readonly<Record<string, Rule>> = {
  base: { may: [], packages: ["@noble/hashes/sha2.js"] },
  protocol: { may: ["base"], packages: [] },
  rooms: { may: ["base"], packages: checksums },
  consensus: { may: ["base"], packages: [] },
  storage: { may: ["base", { folder: "rooms", files: /^(?:.*-)?records?\.ts$/ }], packages: checksums },
  transport: { may: ["base"], packages: [] },
  topology: { may: ["base", "consensus"], packages: [] },
  server: { may: ["base", "protocol", "rooms", "consensus", "storage", "transport", "topology"], packages: [] },
  doors: {
    may: ["base", "protocol", "server"],
    packages: [
      "node:net",
      "node:http",
      "node:crypto",
      "ws",
      "hono",
      "@hono/node-server",
      "@hono/node-server/utils/response",
    ],
  },
  client: { may: ["base", "protocol"], packages: [] },
  "platform/node": {
    may: [
      "base",
      { folder: "storage", typesOnly: true },
      // The SDK's entry for Node gives it Node's ports, as platform/browser does for pages.
      { folder: "client", files: /^(?:client|binary-encoding|json-lines-encoding|ports|public-types)\.ts$/ },
      { folder: "doors", typesOnly: true },
      { folder: "transport", typesOnly: true },
    ],
    packages: "any",
    outside: true,
  },
  "platform/browser": { may: ["base", "client"], packages: "any", outside: true },
  // The simulator must let real promises settle between two virtual events; a turn of the event loop has no duration.
  sim: { may: library, packages: checksums, outside: ["setImmediate"] },
  "apps/cli": { may: [...library, "sim", "apps/terminal", "apps/bench"], packages: "any", outside: true },
  "apps/terminal": { may: library, packages: "any", outside: true },
  "apps/web": { may: library, packages: "any", outside: true },
  "apps/web-cluster": {
    may: [...library, { folder: "apps/web", files: /^vite\.config\.ts$/ }],
    packages: "any",
    outside: true,
  },
  "apps/bench": { may: library, packages: "any", outside: true },
};

/** Parts of a folder that must not know each other, in either direction. */
export const strangers: readonly (readonly [string, string])[] = [["consensus/election", "consensus/replication"]];

/** Written as they are read in code; a lone word is forbidden wherever it stands, so that no alias slips through. */
const outsideNames: readonly (readonly string[])[] = [
  ["Date", ".", "now"],
  ["new", "Date", "(", ")"],
  ["performance", ".", "now"],
  ["Math", ".", "random"],
  ["randomUUID"],
  ["getRandomValues"],
  ["randomBytes"],
  ["setTimeout"],
  ["setInterval"],
  ["setImmediate"],
  ["queueMicrotask"],
  ["process", "."],
  ["process", "["],
];

/** A source file: path from src/, with forward slashes, and its text. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** Every breach of the table in these files, as "path:line what"; empty when there is none. */
export function breaches(files: readonly SourceFile[]): string[] {
  const edges = new Map<string, Set<string>>();
  const found: string[] = [];
  for (const file of files) {
    const from = folderOf(file.path);
    const rule = importTable[from];
    if (rule === undefined) {
      found.push(`${file.path}:1 is in "${from}", which is not in the import table`);
      continue;
    }
    if (/(?:^|\/)index\.tsx?$/.test(file.path)) found.push(`${file.path}:1 is named index; name the one thing inside`);
    const tokens = scan(file.text);
    for (const { specifier, typesOnly, line } of importsOf(tokens)) {
      const say = (what: string): number => found.push(`${file.path}:${line} ${what}`);
      if (specifier === "") {
        if (rule.outside !== true) say("imports something computed");
        continue;
      }
      if (!specifier.startsWith(".")) {
        if (!isPackageAllowed(specifier, rule)) say(`imports ${specifier}, ${from} may not`);
        continue;
      }
      const target = posix.normalize(posix.join(posix.dirname(file.path), specifier));
      if (target.startsWith("..")) {
        if (rule.outside !== true) say(`imports ${specifier}, which lies outside src/`);
        continue;
      }
      for (const pair of strangers) {
        for (const [left, right] of [pair, [pair[1], pair[0]] as const]) {
          if (isIn(file.path, left) && isIn(target, right)) say(`imports ${target}: ${left} and ${right} never meet`);
        }
      }
      const to = folderOf(target);
      if (to === from) continue;
      edges.set(from, (edges.get(from) ?? new Set()).add(to));
      const refusal = refusalOf(rule, { to, target, typesOnly });
      if (refusal !== null) say(`imports ${target}: ${from} ${refusal}`);
    }
    if (rule.outside === true) continue;
    for (const { name, line } of outsideIn(tokens)) {
      if (rule.outside?.includes(name)) continue;
      found.push(`${file.path}:${line} mentions ${name}; it comes in through a port`);
    }
  }
  const cycle = cycleIn(edges);
  if (cycle !== null) found.push(`these folders import each other in a circle: ${cycle.join(" -> ")}`);
  return found;
}

/** "server/fan-out.ts" is in "server", "platform/node/disk.ts" in "platform/node"; a part of "platform" and "apps" counts alone. */
function folderOf(path: string): string {
  const [first = "", second = "", third] = path.split("/");
  if (second === "") return "src itself";
  return (first === "platform" || first === "apps") && third !== undefined ? `${first}/${second}` : first;
}

/** "consensus/election" holds the folder of that name and the file consensus/election.ts. */
function isIn(path: string, part: string): boolean {
  return path.startsWith(`${part}/`) || path === `${part}.ts`;
}

function isPackageAllowed(specifier: string, rule: Rule): boolean {
  return rule.packages === "any" || rule.packages.includes(specifier);
}

function refusalOf(rule: Rule, edge: { to: string; target: string; typesOnly: boolean }): string | null {
  const allowances = rule.may.map((may): Allowance => (typeof may === "string" ? { folder: may } : may));
  const allowance = allowances.find((may) => may.folder === edge.to);
  if (allowance === undefined) return `may not know ${edge.to}`;
  if (allowance.files !== undefined && !allowance.files.test(posix.basename(edge.target))) {
    return `may know only ${String(allowance.files)} of ${edge.to}`;
  }
  if (allowance.typesOnly === true && !edge.typesOnly) return `may import only types (ports) from ${edge.to}`;
  return null;
}

function outsideIn(tokens: readonly Token[]): { name: string; line: number }[] {
  const found: { name: string; line: number }[] = [];
  for (let at = 0; at < tokens.length; at += 1) {
    const first = tokens[at]!;
    if (first.kind !== "word") continue;
    for (const name of outsideNames) {
      const matches = name.every((text, offset) => {
        const token = tokens[at + offset];
        return token !== undefined && token.kind !== "string" && token.text === text;
      });
      // `this.process.` and `group.process(` belong to somebody else.
      const isMember = first.text === "process" && tokens[at - 1]?.text === ".";
      if (matches && !isMember) found.push({ name: name.join("").replace(/^new/, "new "), line: first.line });
    }
  }
  return found;
}

/** A circle of folders, first one repeated at the end; null when there is none. */
export function cycleIn(edges: ReadonlyMap<string, ReadonlySet<string>>): string[] | null {
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (folder: string): string[] | null => {
    if (path.includes(folder)) return [...path.slice(path.indexOf(folder)), folder];
    if (done.has(folder)) return null;
    path.push(folder);
    for (const next of edges.get(folder) ?? []) {
      const cycle = visit(next);
      if (cycle !== null) return cycle;
    }
    path.pop();
    done.add(folder);
    return null;
  };
  for (const folder of edges.keys()) {
    const cycle = visit(folder);
    if (cycle !== null) return cycle;
  }
  return null;
}
