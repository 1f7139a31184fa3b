import { chmodSync, mkdtempSync, writeFileSync } from "node:fs";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type JWTPayload, SignJWT } from "jose";
import { describe, expect, test } from "vitest";
import { adminTokenOf, authenticator, isLoopback } from "../../src/apps/cli/authenticate.ts";
import type { Configuration } from "../../src/apps/cli/configuration.ts";
import { CommandFailed, exitCodes } from "../../src/apps/terminal/exit-codes.ts";
import { Fault } from "../../src/base/error-codes.ts";
import type { UserName } from "../../src/base/ids.ts";

type Auth = Configuration["auth"];

const folder = mkdtempSync(join(tmpdir(), "synod-auth-"));
const open: Auth = {
  mode: "open",
  algorithm: null,
  secretFile: null,
  publicKeyFile: null,
  jwksFile: null,
  audience: "synod",
  issuer: null,
  clockToleranceSeconds: 0,
};

function keyFile(name: string, content: string | Buffer, mode = 0o600): string {
  const file = join(folder, name);
  writeFileSync(file, content);
  chmodSync(file, mode);
  return file;
}

const secret = "0123456789abcdef0123456789abcdef";
const secretBytes = new TextEncoder().encode(secret);
const withSecret: Auth = { ...open, mode: "token", algorithm: "HS256", secretFile: keyFile("secret", `${secret}\n`) };

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const ed = generateKeyPairSync("ed25519");
const pem = (key: KeyObject): string => key.export({ type: "spki", format: "pem" }).toString();

const soon = Math.floor(Date.now() / 1000) + 600;
const good: JWTPayload = { sub: "alice", aud: "synod", exp: soon };

const sign = (
  claims: JWTPayload,
  key: Uint8Array | KeyObject,
  header: { alg: string; kid?: string },
): Promise<string> => new SignJWT(claims).setProtectedHeader(header).sign(key);
const hs256 = (claims: JWTPayload): Promise<string> => sign(claims, secretBytes, { alg: "HS256" });

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => null,
    (cause: unknown) => cause,
  );
}

async function expectRefused(auth: Auth, token: string | null, user: string | null = null): Promise<void> {
  const authenticate = await authenticator(auth, ["0.0.0.0"]);
  const failure = await failureOf(authenticate({ user: user as UserName | null, token, address: "203.0.113.1" }));
  expect(failure).toBeInstanceOf(Fault);
  // Always the same words: why a token was not taken helps nobody but its forger.
  expect(failure).toMatchObject({ code: "unauthorized", message: "the token was not accepted" });
}

describe("open authentication", () => {
  test.each([["127.0.0.1"], ["127.8.9.1"], ["::1"], ["localhost"]])("is for loopback: %s", async (host) => {
    const authenticate = await authenticator(open, [host]);
    const identity = await authenticate({ user: "alice" as UserName, token: null, address: host });
    expect(identity).toEqual({ user: "alice", expiresAt: null });
  });

  test.each([["0.0.0.0"], ["::"], ["192.168.1.5"], ["chat.example.org"], ["128.0.0.1"], ["localhost.example.org"]])(
    "is refused on %s, with what to do instead",
    async (host) => {
      const failure = await failureOf(authenticator(open, ["127.0.0.1", host]));
      expect(failure).toBeInstanceOf(CommandFailed);
      expect(failure).toMatchObject({ exitCode: exitCodes.refused });
      expect((failure as Error).message).toContain(host);
      expect((failure as Error).message).toContain("--auth token");
    },
  );

  test("takes only what can be a name", async () => {
    const authenticate = await authenticator(open, ["127.0.0.1"]);
    for (const user of [null, "", "a b", "../x", "a\u202eb"]) {
      const failure = await failureOf(authenticate({ user: user as UserName | null, token: null, address: "::1" }));
      expect(failure).toMatchObject({ code: "unauthorized" });
    }
  });

  test("with a key that is never used is a mistake", async () => {
    const failure = await failureOf(authenticator({ ...open, secretFile: "x" }, ["127.0.0.1"]));
    expect(failure).toMatchObject({ exitCode: exitCodes.usage });
  });

  test("is loopback told by the address, and not by how it begins", () => {
    expect(isLoopback("127.0.0.1.example.org")).toBe(false);
  });
});

describe("a token", () => {
  test("tells who it is and until when", async () => {
    const authenticate = await authenticator(withSecret, ["0.0.0.0"]);
    const token = await hs256(good);
    const identity = await authenticate({ user: null, token, address: "203.0.113.1" });
    expect(identity).toEqual({ user: "alice", expiresAt: soon * 1000 });
    await expect(authenticate({ user: "alice" as UserName, token, address: "x" })).resolves.toEqual(identity);
  });

  test.each([
    ["soon and a fraction", soon + 0.25, soon * 1000 + 250],
    ["the year 318857", 9_999_999_999_999, Number.MAX_SAFE_INTEGER],
    ["never", Number.MAX_VALUE, Number.MAX_SAFE_INTEGER],
  ])("takes every end that an issuer may write: %s", async (_name, exp, expiresAt) => {
    const authenticate = await authenticator(withSecret, ["0.0.0.0"]);
    const token = await hs256({ ...good, exp });
    await expect(authenticate({ user: null, token, address: "x" })).resolves.toEqual({ user: "alice", expiresAt });
  });

  test.each<[string, JWTPayload]>([
    ["that has expired", { ...good, exp: soon - 1200 }],
    ["without an end", { sub: "alice", aud: "synod" }],
    ["that is not valid yet", { ...good, nbf: soon }],
    ["for somebody else's service", { ...good, aud: "other" }],
    ["for no service", { sub: "alice", exp: soon }],
    ["without a subject", { aud: "synod", exp: soon }],
    ["whose subject is no name", { ...good, sub: "a/../b" }],
    ["whose subject is not NFC", { ...good, sub: "e\u0301" }],
    ["whose subject is too long", { ...good, sub: "a".repeat(61) }],
  ])("%s is refused", async (_, claims) => {
    await expectRefused(withSecret, await hs256(claims));
  });

  test("of another user than the one who comes with it is refused", async () => {
    await expectRefused(withSecret, await hs256(good), "bob");
  });

  test("of another issuer is refused where one is configured", async () => {
    const auth = { ...withSecret, issuer: "https://login.example.org" };
    await expectRefused(auth, await hs256(good));
    await expectRefused(auth, await hs256({ ...good, iss: "https://evil.example.org" }));
    const authenticate = await authenticator(auth, ["0.0.0.0"]);
    const token = await hs256({ ...good, iss: "https://login.example.org" });
    await expect(authenticate({ user: null, token, address: "x" })).resolves.toMatchObject({ user: "alice" });
  });

  test("that is none, is huge, is nested without end, or is signed by nobody is refused", async () => {
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const deep = Buffer.from(`${"[".repeat(1500)}${"]".repeat(1500)}`).toString("base64url");
    await expectRefused(withSecret, null);
    await expectRefused(withSecret, "");
    await expectRefused(withSecret, "a.b.c");
    await expectRefused(withSecret, "x".repeat(1_000_000));
    await expectRefused(withSecret, `${part({ alg: "none" })}.${part(good)}.`);
    await expectRefused(withSecret, `${part({ alg: "HS256" })}.${deep}.AAAA`);
    const sound = await hs256(good);
    await expectRefused(withSecret, `${sound.slice(0, -2)}AA`);
  });

  test("chooses no algorithm: a public key is no secret, however the token says it was used", async () => {
    const auth: Auth = {
      ...withSecret,
      algorithm: "RS256",
      secretFile: null,
      publicKeyFile: keyFile("rsa.pem", pem(rsa.publicKey)),
    };
    const forged = await sign(good, new TextEncoder().encode(pem(rsa.publicKey)), { alg: "HS256" });
    await expectRefused(auth, forged);
    const sound = await sign(good, rsa.privateKey, { alg: "RS256" });
    const authenticate = await authenticator(auth, ["0.0.0.0"]);
    await expect(authenticate({ user: null, token: sound, address: "x" })).resolves.toMatchObject({ user: "alice" });
    await expectRefused(auth, await sign(good, rsa.privateKey, { alg: "RS512" }));
  });

  test.each([
    ["RS256", rsa],
    ["ES256", ec],
    ["EdDSA", ed],
  ] as const)("is checked with %s, by a key in PEM and by a key set", async (algorithm, pair) => {
    const token = await sign(good, pair.privateKey, { alg: algorithm, kid: "k1" });
    const jwk = { ...pair.publicKey.export({ format: "jwk" }), kid: "k1", alg: algorithm };
    const stranger = { ...rsa.publicKey.export({ format: "jwk" }), kid: "k0" };
    const files: Partial<Auth>[] = [
      { publicKeyFile: keyFile(`${algorithm}.pem`, pem(pair.publicKey)) },
      { jwksFile: keyFile(`${algorithm}.json`, JSON.stringify({ keys: [stranger, jwk] })) },
    ];
    for (const file of files) {
      const authenticate = await authenticator({ ...open, mode: "token", algorithm, ...file }, ["0.0.0.0"]);
      await expect(authenticate({ user: null, token, address: "x" })).resolves.toMatchObject({ user: "alice" });
    }
  });

  test("a clock that goes wrong is forgiven as far as configured", async () => {
    const token = await hs256({ ...good, exp: Math.floor(Date.now() / 1000) - 30 });
    await expectRefused(withSecret, token);
    const authenticate = await authenticator({ ...withSecret, clockToleranceSeconds: 120 }, ["0.0.0.0"]);
    await expect(authenticate({ user: null, token, address: "x" })).resolves.toMatchObject({ user: "alice" });
  });
});

describe("a key that does not fit stops the start", () => {
  const ecPem = keyFile("ec.pem", pem(ec.publicKey));
  const privatePem = keyFile("private.pem", ec.privateKey.export({ type: "pkcs8", format: "pem" }).toString());
  test.each<[string, Partial<Auth>, RegExp, number]>([
    ["no algorithm", { algorithm: null }, /needs auth\.algorithm/, exitCodes.usage],
    ["no key", { secretFile: null }, /needs auth\.secretFile/, exitCodes.usage],
    ["two keys", { publicKeyFile: ecPem }, /no other key/, exitCodes.usage],
    ["a public key for HS256", { secretFile: null, publicKeyFile: ecPem }, /needs auth\.secretFile/, exitCodes.usage],
    ["a short secret", { secretFile: keyFile("short", "secret\n") }, /less than 32/, exitCodes.usage],
    ["a secret others can read", { secretFile: keyFile("wide", secret, 0o644) }, /chmod 600/, exitCodes.refused],
    ["a file that is not there", { secretFile: join(folder, "nowhere") }, /can't be read/, exitCodes.usage],
    [
      "a key of another kind",
      { algorithm: "RS256", secretFile: null, publicKeyFile: ecPem },
      /type ec/,
      exitCodes.usage,
    ],
    [
      "a private key",
      { algorithm: "ES256", secretFile: null, publicKeyFile: privatePem },
      /private key/,
      exitCodes.usage,
    ],
    [
      "no key set",
      { algorithm: "ES256", secretFile: null, jwksFile: keyFile("no.json", "{}") },
      /no "keys"/,
      exitCodes.usage,
    ],
    [
      "an empty key set",
      { algorithm: "ES256", secretFile: null, jwksFile: keyFile("e.json", '{"keys":[]}') },
      /no key of type EC/,
      exitCodes.usage,
    ],
  ])("%s", async (_, part, message, exitCode) => {
    const failure = await failureOf(authenticator({ ...withSecret, ...part }, ["0.0.0.0"]));
    expect(failure).toBeInstanceOf(CommandFailed);
    expect((failure as Error).message).toMatch(message);
    expect(failure).toMatchObject({ exitCode });
  });
});

describe("operators", () => {
  test("show nothing on loopback, and a token anywhere else", async () => {
    expect(await adminTokenOf({ adminHost: "127.0.0.1", adminTokenFile: null })).toBeNull();
    expect(await adminTokenOf({ adminHost: "0.0.0.0", adminTokenFile: keyFile("admin", `${secret}\n`) })).toBe(secret);
    const failure = await failureOf(adminTokenOf({ adminHost: "0.0.0.0", adminTokenFile: null }));
    expect(failure).toMatchObject({ exitCode: exitCodes.refused });
  });
});
