import type { Fault } from "../base/error-codes.ts";
import { problemHeaders, problemOf } from "./problem.ts";

/** Headers of every answer that is no page: nobody keeps it, nobody takes it for a script or shows it in a frame. */
export const answerHeaders = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
} as const;

/** Ends with a line end, so that answers stand apart in a terminal. */
export function json(value: unknown, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(`${JSON.stringify(value)}\n`, {
    status,
    headers: { ...answerHeaders, "content-type": "application/json", ...headers },
  });
}

export function problemResponse(fault: Fault): Response {
  const problem = problemOf(fault);
  return json(problem, problem.status, problemHeaders(fault));
}
