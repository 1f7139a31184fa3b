import { createPublicKey, type KeyObject } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { BlockList, isIP } from "node:net";
import { createLocalJWKSet, type JSONWebKeySet, type JWTVerifyGetKey, type JWTVerifyOptions, jwtVerify } from "jose";
import { Fault } from "../../base/error-codes.ts";
import { timestamp } from "../../base/units.ts";
import { isUserName } from "../../protocol/names.ts";
import type { ServerSettings } from "../../server/server-settings.ts";
import type { Configuration } from "./configuration.ts";
import { CommandFailed, exitCodes } from "../terminal/exit-codes.ts";

type Authenticate = ServerSettings["authenticate"];
type AuthSettings = Configuration["auth"];

/** A token is held to this before anything looks into it. `hello` may have 4 KiB, an HTTP header more. */
const tokenCharactersMax = 4_096;
/** RFC 7518 3.2: a key of the same size as the hash output or larger. */
const secretBytesMin = 32;
const keyFileBytesMax = 64 * 1024;

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

/** Whether this address can be reached from this machine only. A name other than `localhost` may lead anywhere. */
export function isLoopback(host: string): boolean {
  if (host === "localhost") return true;
  const family = isIP(host);
  return family !== 0 && loopback.check(host, family === 4 ? "ipv4" : "ipv6");
}

/**
 * How people prove who they are, as configured. Reads the keys now, so that a missing or unfit one stops the start.
 * Throws `CommandFailed`.
 *
 * 1. `open` believes names, and is refused unless every listening address is loopback
 * 2. a token's algorithm is the configured one, whatever the token says; its signature is checked before anything in it
 * 3. `exp` must be there; `exp`, `nbf`, `aud` and, where configured, `iss` are checked before `sub` is looked at
 * 4. `sub` is the user; who says another name beside it is refused
 * 5. all refusals say the same: why a token was not taken helps nobody but its forger
 */
export async function authenticator(auth: AuthSettings, hosts: readonly string[]): Promise<Authenticate> {
  if (auth.mode === "open") return openAuthentication(auth, hosts);
  return tokenAuthentication(auth);
}

function openAuthentication(auth: AuthSettings, hosts: readonly string[]): Authenticate {
  const exposed = hosts.find((host) => !isLoopback(host));
  if (exposed !== undefined) {
    throw new CommandFailed(
      exitCodes.refused,
      `with open authentication everybody who can reach ${exposed} could speak as anybody. ` +
        "Listen on loopback (--host 127.0.0.1), or ask for tokens: --auth token --auth-algorithm HS256 --auth-secret-file FILE",
    );
  }
  // Whoever sets these means to be protected by them.
  const idle = (["algorithm", "secretFile", "publicKeyFile", "jwksFile", "issuer"] as const).find(
    (name) => auth[name] !== null,
  );
  if (idle !== undefined) {
    throw new CommandFailed(exitCodes.usage, `auth.${idle} is set, but auth.mode is open; set auth.mode to token`);
  }
  return ({ user }) =>
    user !== null && isUserName(user)
      ? Promise.resolve({ user, expiresAt: null })
      : Promise.reject(new Fault("unauthorized", "say who you are: Synod-User: NAME over HTTP, user in hello"));
}

async function tokenAuthentication(auth: AuthSettings): Promise<Authenticate> {
  const { algorithm, audience, issuer, clockToleranceSeconds } = auth;
  if (algorithm === null) {
    throw new CommandFailed(exitCodes.usage, "auth.mode token needs auth.algorithm: HS256, RS256, ES256 or EdDSA");
  }
  const key = await keyOf(auth, algorithm);
  const options: JWTVerifyOptions = {
    algorithms: [algorithm],
    audience,
    ...(issuer === null ? {} : { issuer }),
    clockTolerance: clockToleranceSeconds,
    requiredClaims: ["exp", "sub"],
  };
  return async ({ user, token }) => {
    const claims = await verified(token, key, options);
    const subject = claims?.sub;
    const isKnown = typeof subject === "string" && isUserName(subject) && (user === null || user === subject);
    if (!isKnown || claims?.exp === undefined) {
      throw new Fault("unauthorized", "the token was not accepted");
    }
    // An issuer's "never" may be any number, also one beyond what a timestamp can be.
    const ends = Math.min(Math.ceil((claims.exp + clockToleranceSeconds) * 1_000), Number.MAX_SAFE_INTEGER);
    return { user: subject, expiresAt: timestamp(ends) };
  };
}

type Key = Uint8Array | KeyObject | JWTVerifyGetKey;

/** The claims of a sound token, or null. */
async function verified(
  token: string | null,
  key: Key,
  options: JWTVerifyOptions,
): Promise<{ sub?: string; exp?: number } | null> {
  if (token === null || token.length > tokenCharactersMax) return null;
  try {
    return (await jwtVerify(token, key, options)).payload;
  } catch {
    // Whatever is wrong with a stranger's token, it is not accepted.
    return null;
  }
}

async function keyOf(auth: AuthSettings, algorithm: NonNullable<AuthSettings["algorithm"]>): Promise<Key> {
  const wanted = algorithm === "HS256" ? ["secretFile"] : ["publicKeyFile", "jwksFile"];
  const given = (["secretFile", "publicKeyFile", "jwksFile"] as const).filter((name) => auth[name] !== null);
  const [name] = given;
  if (given.length !== 1 || name === undefined || !wanted.includes(name)) {
    const names = wanted.map((one) => `auth.${one}`).join(" or ");
    throw new CommandFailed(exitCodes.usage, `auth.algorithm ${algorithm} needs ${names}, and no other key`);
  }
  const file = auth[name]!;
  if (name === "secretFile") return secretIn(file);
  const bytes = await bytesOf(file, false);
  try {
    if (name === "jwksFile") return keySetOf(bytes, algorithm);
    return publicKeyOf(bytes, algorithm);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CommandFailed(exitCodes.usage, `auth.${name} ${file} can't be used for ${algorithm}: ${why}`, { cause });
  }
}

async function bytesOf(file: string, isSecret: boolean): Promise<Buffer> {
  let mode: number;
  let bytes: Buffer;
  try {
    const found = await stat(file);
    mode = found.mode & 0o777;
    if (found.size > keyFileBytesMax) throw new Error("it is too large for a key");
    bytes = await readFile(file);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CommandFailed(exitCodes.usage, `the key file ${file} can't be read: ${why}`, { cause });
  }
  if (isSecret && process.platform !== "win32" && (mode & 0o077) !== 0) {
    throw new CommandFailed(exitCodes.refused, `the secret ${file} can be read by other users; run: chmod 600 ${file}`);
  }
  return bytes;
}

/** The secret of this file, which nobody else may read. Throws `CommandFailed`. */
export async function secretIn(file: string): Promise<Uint8Array> {
  return secretOf(file, await bytesOf(file, true));
}

/** The bytes of the file, without the line end that an editor puts there. */
function secretOf(file: string, bytes: Buffer): Uint8Array {
  let end = bytes.length;
  if (bytes[end - 1] === 0x0a) end--;
  if (bytes[end - 1] === 0x0d) end--;
  if (end < secretBytesMin) {
    const advice = `make one with: openssl rand -hex 32 > ${file}`;
    throw new CommandFailed(
      exitCodes.usage,
      `the secret ${file} has ${end} bytes, less than ${secretBytesMin}; ${advice}`,
    );
  }
  return new Uint8Array(bytes.subarray(0, end));
}

/** What operators must show, or null for nothing, which is refused beyond loopback. Throws `CommandFailed`. */
export async function adminTokenOf(configuration: {
  adminHost: string;
  adminTokenFile: string | null;
}): Promise<string | null> {
  const { adminHost, adminTokenFile } = configuration;
  if (adminTokenFile !== null) {
    return Buffer.from(await secretIn(adminTokenFile)).toString("utf8");
  }
  if (isLoopback(adminHost)) return null;
  throw new CommandFailed(
    exitCodes.refused,
    `operators would be anybody who can reach ${adminHost}; keep --admin-host 127.0.0.1, or set --admin-token-file FILE`,
  );
}

const keyTypes = { RS256: ["rsa"], ES256: ["ec"], EdDSA: ["ed25519"] } as const;
const webKeyTypes = { RS256: "RSA", ES256: "EC", EdDSA: "OKP" } as const;
type PublicAlgorithm = keyof typeof keyTypes;

function publicKeyOf(bytes: Buffer, algorithm: string): KeyObject {
  if (bytes.includes("PRIVATE KEY")) throw new Error("it holds a private key, which a server must not have");
  const key = createPublicKey(bytes);
  const types: readonly string[] = keyTypes[algorithm as PublicAlgorithm];
  if (!types.includes(key.asymmetricKeyType ?? "")) throw new Error(`it is a key of type ${key.asymmetricKeyType}`);
  return key;
}

/** Only the keys that fit the algorithm, so that no other can be asked for by `kid`. */
function keySetOf(bytes: Buffer, algorithm: string): JWTVerifyGetKey {
  const set = JSON.parse(bytes.toString("utf8")) as Partial<JSONWebKeySet> | null;
  if (!Array.isArray(set?.keys)) throw new Error('it has no "keys"');
  const type = webKeyTypes[algorithm as PublicAlgorithm];
  const keys = set.keys.filter(({ kty, alg }) => kty === type && (alg === undefined || alg === algorithm));
  if (keys.length === 0) throw new Error(`it holds no key of type ${type}`);
  if (keys.some((key) => "d" in key)) throw new Error("it holds a private key, which a server must not have");
  return createLocalJWKSet({ keys });
}
