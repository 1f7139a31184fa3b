import { Fault } from "../base/error-codes.ts";
import { json } from "./json-response.ts";
import { problemHeaders, problemOf } from "./problem.ts";

/** What a router knows of its addresses: `:name` stands for one part of a path. */
export interface Route {
  readonly method: string;
  readonly path: string;
}

/** Where somebody is answered, without what is looked at before. */
export const routesOf = (routes: readonly Route[]): readonly Route[] =>
  routes.flatMap(({ method, path }) => (method === "ALL" ? [] : [{ method, path }]));

/** The refusal of a method where others are answered, with those in `Allow` (RFC 9110, 15.5.6); null: nothing is answered there. */
export function methodRefusal(routes: readonly Route[], method: string, path: string): Response | null {
  const allowed = new Set<string>();
  for (const route of routes) {
    if (route.method === "ALL" || !fits(route.path, path)) continue;
    allowed.add(route.method);
    if (route.method === "GET") allowed.add("HEAD");
  }
  if (allowed.size === 0) return null;
  const allow = [...allowed].sort().join(", ");
  const fault = new Fault("unsupported", `${method} is not answered at this address; ${allow} are`);
  return json({ ...problemOf(fault), status: 405 }, 405, { ...problemHeaders(fault), allow });
}

function fits(pattern: string, path: string): boolean {
  const [wanted, given] = [pattern.split("/"), path.split("/")];
  return wanted.length === given.length && wanted.every((part, i) => part.startsWith(":") || part === given[i]);
}
