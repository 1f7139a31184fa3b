/** One file of the page, with what it was compressed to when it was built. */
export interface PageFile {
  readonly contentType: string;
  /** Strong validator of the uncompressed bytes, with its quotes. */
  readonly etag: string;
  /** Its name holds a hash of its content: it may be kept for ever. */
  readonly isImmutable: boolean;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly brotli: Uint8Array<ArrayBuffer> | null;
  readonly gzip: Uint8Array<ArrayBuffer> | null;
}

/** The files of the page by their path, such as "/index.html". What a request names is looked up here and nowhere else. */
export type Page = ReadonlyMap<string, PageFile>;

/** The answer for a path of the page, or null when the page has no such file. */
export function pageResponse(
  page: Page,
  path: string,
  request: { acceptEncoding: string; ifNoneMatch: string | null; isHead: boolean },
): Response | null {
  const file = page.get(path === "/" ? "/index.html" : path);
  if (file === undefined) return null;
  const headers: Record<string, string> = {
    ...pageHeaders,
    "content-type": file.contentType,
    "cache-control": file.isImmutable ? "public, max-age=31536000, immutable" : "no-cache",
    etag: file.etag,
    vary: "accept-encoding",
  };
  if (request.ifNoneMatch !== null && names(request.ifNoneMatch, file.etag)) {
    return new Response(null, { status: 304, headers });
  }
  let bytes = file.bytes;
  if (file.brotli !== null && accepts(request.acceptEncoding, "br")) {
    bytes = file.brotli;
    headers["content-encoding"] = "br";
  } else if (file.gzip !== null && accepts(request.acceptEncoding, "gzip")) {
    bytes = file.gzip;
    headers["content-encoding"] = "gzip";
  }
  headers["content-length"] = String(bytes.length);
  return new Response(request.isHead ? null : bytes, { status: 200, headers });
}

/**
 * What the page may do: load from here, talk to here, be in no frame, and make no markup out of text. The page talks to
 * other servers of a cluster only by their own page.
 */
const pageHeaders = {
  "content-security-policy": [
    "default-src 'self'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; "),
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=()",
} as const;

// "br;q=0" says no; every other mention says yes, because the order among them is ours to choose (RFC 9110 12.5.3).
function accepts(acceptEncoding: string, coding: string): boolean {
  return acceptEncoding.split(",").some((part) => {
    const [name = "", ...parameters] = part.split(";").map((text) => text.trim().toLowerCase());
    return name === coding && !parameters.some((parameter) => /^q=0(\.0{1,3})?$/.test(parameter));
  });
}

const names = (ifNoneMatch: string, etag: string): boolean =>
  ifNoneMatch.split(",").some((part) => part.trim().replace(/^W\//, "") === etag || part.trim() === "*");
