import { defaultLimits } from "../../base/limits.ts";

/**
 * Everything that can be configured, as data: from here come the flags, the names of environment variables, the keys of
 * the configuration file and docs/reference/configuration.md. Types and ranges are in configuration.ts.
 */
export interface Setting {
  /** The path in the configuration file: `flush.afterMs`. */
  readonly key: string;
  /** How text of a flag or a variable is read. A list is separated by commas. */
  readonly type: "text" | "number" | "list";
  /** null = there is no flag: the file and the environment only. */
  readonly flag: string | null;
  readonly default: string | number | readonly string[] | null;
  readonly meaning: string;
}

const basic: readonly Setting[] = [
  text("data", "--data <dir>", "./synod-data", "directory that holds everything; made if it is missing, mode 0700"),
  text("node", "--node <name>", "n1", "name of this server; the data directory remembers it"),
  text("host", "--host <address>", "127.0.0.1", "address to listen on, for the public and the TCP port"),
  number("port", "--port <n>", 7400, "public port: HTTP, WebSocket and the page; 0 = a free one"),
  number("tcpPort", "--tcp-port <n>", 7403, "port for clients over TCP; 0 = a free one"),
  number("peerPort", "--peer-port <n>", 7401, "port for other servers; not opened in topology solo; 0 = a free one"),
  text("peerHost", "--peer-host <address>", "127.0.0.1", "address to listen on for other servers"),
  number("adminPort", "--admin-port <n>", 7402, "port for operators: status, metrics, operations; 0 = a free one"),
  text(
    "adminHost",
    "--admin-host <address>",
    "127.0.0.1",
    "address for operators; beyond loopback it needs an admin token",
  ),
  text(
    "adminTokenFile",
    "--admin-token-file <file>",
    null,
    "what operators must show (Authorization: Bearer), readable by its owner only",
  ),
  text(
    "topology",
    "--topology <name>",
    "solo",
    "solo: this one server orders everything; leader: one of several does, elected by them",
  ),
  list(
    "peers",
    "--peers <list>",
    "the servers of a cluster and where they listen for others: n1=HOST:7401,n2=HOST:7401",
  ),
  text(
    "secretFile",
    "--secret-file <file>",
    null,
    "secret that all servers of a cluster share: 32 bytes or more, readable by its owner only",
  ),
  text("log", "--log <format>", "auto", "json, text, or auto: text on a terminal, JSON otherwise"),
  text(
    "timeZone",
    "--time-zone <zone>",
    null,
    "IANA zone in which days are reckoned; committed for the whole cluster: not given, what was given last; at first UTC",
  ),
  number(
    "retention.days",
    "--retention-days <n>",
    null,
    "days kept besides today's, in every room; 0 = for ever; committed: not given, what was given last; at first 0",
  ),
  number("flush.afterMs", "--flush-after-ms <n>", 0, "wait so long for more before a batch is written"),
  number(
    "flush.afterBytes",
    "--flush-after-bytes <n>",
    0,
    "or until so much has come, whichever is first; both 0 = at once",
  ),
  number("push.afterMs", "--push-after-ms <n>", 0, "wait so long for more before readers are sent what is stored"),
  number("push.afterCount", "--push-after-count <n>", 0, "or until so many messages wait; both 0 = each turn"),
  text("auth.mode", "--auth <mode>", "open", "open: names are believed, on loopback only; token: signed tokens"),
  text("auth.algorithm", "--auth-algorithm <name>", null, "HS256, RS256, ES256 or EdDSA; the only one that is taken"),
  text("auth.secretFile", "--auth-secret-file <file>", null, "for HS256: 32 bytes or more, readable by its owner only"),
  text("auth.publicKeyFile", "--auth-public-key-file <file>", null, "for the others: public key in PEM (SPKI)"),
  text("auth.jwksFile", "--auth-jwks-file <file>", null, "or a JSON Web Key Set, whose keys are told apart by kid"),
  text("auth.audience", "--auth-audience <text>", "synod", "what a token's aud must hold"),
  text("auth.issuer", "--auth-issuer <text>", null, "what a token's iss must be; not given: it is not looked at"),
  number("auth.clockToleranceSeconds", null, 0, "how far the clocks of issuer and server may differ"),
  list(
    "advertise",
    "--advertise <urls>",
    "addresses of this server that clients are told, by every server of its cluster; none: those they came by",
  ),
  list("origins", "--origins <urls>", "origins of other sites whose pages may use this server"),
];

/** Every limit of base/limits.ts can be set, and is checked against the others when the server starts. */
const limits: readonly Setting[] = Object.entries(defaultLimits).map(([name, value]) => ({
  key: `limits.${name}`,
  type: "number",
  flag: null,
  default: value as number,
  meaning: "see limits.md",
}));

export const settings: readonly Setting[] = [...basic, ...limits];

/** The environment variable of a key: `flush.afterMs` is `SYNOD_FLUSH__AFTER_MS`. */
export function variableOf(key: string): string {
  const parts = key.split(".").map((part) => part.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase());
  return `SYNOD_${parts.join("__")}`;
}

/** Variables that other commands read. */
export const clientVariables: readonly string[] = ["SYNOD_URL", "SYNOD_USER", "SYNOD_TOKEN", "SYNOD_CONFIG"];

/** The property under which commander keeps a flag's value: `--flush-after-ms <n>` is `flushAfterMs`. */
export function optionOf(flag: string): string {
  const words = flag.split(" ")[0]!.slice(2).split("-");
  return words.map((word, at) => (at === 0 ? word : word[0]!.toUpperCase() + word.slice(1))).join("");
}

function text(key: string, flag: string | null, fallback: string | null, meaning: string): Setting {
  return { key, type: "text", flag, default: fallback, meaning };
}

function number(key: string, flag: string | null, fallback: number | null, meaning: string): Setting {
  return { key, type: "number", flag, default: fallback, meaning };
}

function list(key: string, flag: string, meaning: string): Setting {
  return { key, type: "list", flag, default: [], meaning };
}
