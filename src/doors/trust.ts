/**
 * From which pages a browser may use this server. WebSockets lie outside of CORS, and a page on another site can reach
 * a server on the visitor's own machine: by its address, or by a name of its own that it lets point there later (DNS
 * rebinding). What is not a browser sends no `Origin` and may.
 */
export interface Trust {
  /** Origins besides the server's own, such as `https://chat.example.org`. */
  readonly origins: readonly string[];
  /**
   * The names by which this server may be called, without ports; null = any. A server that is bound to loopback and
   * asks for no token must name them (`loopbackHosts`): otherwise any page could call it by a name of its own.
   */
  readonly hosts: readonly string[] | null;
}

export const loopbackHosts: readonly string[] = ["localhost", "127.0.0.1", "[::1]"];

/** The headers that tell where a request comes from; null = not given. */
export interface RequestSource {
  readonly host: string | null;
  readonly origin: string | null;
  readonly hasCookie: boolean;
}

/** Why a request is not answered, or null when it may be. */
export function distrustOf(trust: Trust, source: RequestSource): string | null {
  const { host, origin } = source;
  if (trust.hosts !== null && !trust.hosts.includes(hostName(host))) {
    return "this server is not called by that name";
  }
  if (origin === null) {
    // A browser that leaves out the origin but sends its cookies acts for a page that is not named.
    return source.hasCookie ? "a request with cookies must name its origin" : null;
  }
  if (trust.origins.includes(origin) || isOwn(origin, host)) return null;
  return "pages of that origin may not use this server";
}

/** Whether another site's page may read what is answered to it: only those that are listed. */
export const isForeignFriend = (trust: Trust, origin: string | null): origin is string =>
  origin !== null && trust.origins.includes(origin);

/** The name in a `Host` header, in lower case and without its port; "" when it is none. */
function hostName(host: string | null): string {
  return hostOf("http:", host)?.hostname ?? "";
}

// The page was loaded from this very server: same name, same port, whatever stands between us and the browser. The
// origin must be exactly what a browser writes: a scheme, a name, a port, nothing else.
function isOwn(origin: string, host: string | null): boolean {
  if (!URL.canParse(origin)) return false;
  const url = new URL(origin);
  if ((url.protocol !== "http:" && url.protocol !== "https:") || url.origin !== origin) return false;
  return hostOf(url.protocol, host)?.host === url.host;
}

function hostOf(protocol: string, host: string | null): URL | null {
  const text = `${protocol}//${host ?? ""}`;
  if (host === null || !URL.canParse(text)) return null;
  const url = new URL(text);
  const isBare =
    url.pathname === "/" && url.username === "" && url.password === "" && url.search === "" && url.hash === "";
  return isBare ? url : null;
}
