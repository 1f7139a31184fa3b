import { expect, test } from "vitest";
import { methodRefusal } from "../../src/doors/method-refusal.ts";

const routes = [
  { method: "ALL", path: "/*" },
  { method: "GET", path: "/v1/rooms/:room/messages" },
  { method: "POST", path: "/v1/rooms/:room/messages" },
  { method: "PUT", path: "/v1/rooms/:room" },
];

test("[HTTP1] a method that an address does not take is refused with those it takes; elsewhere nothing is answered", async () => {
  const refusal = methodRefusal(routes, "DELETE", "/v1/rooms/ops/messages");
  expect([refusal?.status, refusal?.headers.get("allow")]).toEqual([405, "GET, HEAD, POST"]);
  expect(refusal?.headers.get("content-type")).toBe("application/problem+json");
  expect(await refusal?.json()).toMatchObject({ status: 405, code: "unsupported", definite: true, retryable: false });
  expect(methodRefusal(routes, "PATCH", "/v1/rooms/ops")?.headers.get("allow")).toBe("PUT");
  for (const path of ["/v1/rooms", "/v1/rooms/a/b", "/v2/rooms/ops", "/"]) {
    expect(methodRefusal(routes, "GET", path)).toBeNull();
  }
});
