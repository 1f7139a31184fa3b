import { createHmac } from "node:crypto";
import type { SynodUser } from "./wires/synod-greeting.ts";

/** How the connections of a load prove who they are. Plain data: it travels to the generator processes. */
export type Proof =
  /** One user with many connections. */
  | { readonly type: "token"; readonly user: string; readonly token: string }
  /** Each connection is its own user, with a token made for it. */
  | {
      readonly type: "secret";
      readonly secretBase64: string;
      readonly audience: string;
      readonly issuer: string | null;
    };

/** Longer than any load. */
const validSeconds = 24 * 60 * 60;

/** Who the connection called `name` is; `null` where names are believed. */
export function identityOf(proof: Proof | null, name: string): SynodUser {
  if (proof === null) return { user: name, token: null };
  if (proof.type === "token") return { user: proof.user, token: proof.token };
  return { user: name, token: signedToken(proof, name) };
}

/** A JSON Web Token in compact form, RFC 7519 and RFC 7515 section 3.1, signed with HMAC-SHA256. */
function signedToken(proof: Extract<Proof, { type: "secret" }>, subject: string): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = {
    sub: subject,
    aud: proof.audience,
    ...(proof.issuer === null ? {} : { iss: proof.issuer }),
    exp: Math.floor(Date.now() / 1000) + validSeconds,
  };
  const signed = `${part({ alg: "HS256" })}.${part(claims)}`;
  const secret = Buffer.from(proof.secretBase64, "base64");
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}
