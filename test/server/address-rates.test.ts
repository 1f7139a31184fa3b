import { expect, test } from "vitest";
import { Fault } from "../../src/base/error-codes.ts";
import { AddressRates } from "../../src/server/address-rates.ts";
import { startTestServer, TestClient } from "./server-world.ts";

test("five seconds' worth at once, then so many a second, each address for itself", () => {
  const rates = new AddressRates(2);
  for (let i = 0; i < 10; i++) expect(rates.take("a", 1_000)).toBe(0);
  expect(rates.take("a", 1_000)).toBe(500);
  expect(rates.take("b", 1_000)).toBe(0);
  expect(rates.take("a", 1_499)).toBeGreaterThan(0);
  expect(rates.take("a", 1_501)).toBe(0);
  expect(rates.take("a", 1_502)).toBeGreaterThan(0);
  // A clock that stands still gives nothing.
  expect(rates.take("a", 1_502)).toBeGreaterThan(0);
});

test("the table of addresses is bounded, whoever comes", () => {
  const rates = new AddressRates(1);
  for (let i = 0; i < 25_000; i++) rates.take(`address ${i}`, i);
  expect(rates.size).toBeLessThanOrEqual(10_000);
});

test("connections that come too fast from one address are refused with a code, and others are not", async () => {
  const { server } = await startTestServer({ limits: { connectionsPerSecondPerAddressMax: 1 } });
  for (let i = 0; i < 5; i++) await TestClient.open(server, `user${i}`);
  expect(() => new TestClient(server)).toThrow(expect.objectContaining({ code: "rate_limited", retryable: true }));
  const elsewhere = new TestClient(server, "10.0.0.1");
  elsewhere.say({ t: "hello", v: 1, user: "far" });
  expect(await elsewhere.next((frame) => frame.t === "welcome")).toMatchObject({ user: "far" });
  await server.stop(0);
});

test("refused logins use up an address: then none is looked at, whoever asks, and the answer says so", async () => {
  let looked = 0;
  const { server } = await startTestServer({
    limits: { loginFailuresPerSecondPerAddressMax: 1 },
    settings: {
      authenticate: async ({ user, token }) => {
        looked++;
        if (token !== "right") throw new Fault("unauthorized", "no");
        return { user: user!, expiresAt: null };
      },
    },
  });
  const login = async (token: string, address?: string) => {
    const client = new TestClient(server, address);
    client.say({ t: "hello", v: 1, user: "alice", token });
    const answer = await client.next(() => true);
    return [answer.t === "err" ? answer.code : answer.t, client.closed?.code ?? null];
  };
  for (let i = 0; i < 5; i++) expect(await login("wrong")).toEqual(["unauthorized", 4401]);
  expect(await login("right")).toEqual(["rate_limited", 4429]);
  expect(looked).toBe(5);
  expect(await login("right", "10.0.0.1")).toEqual(["welcome", null]);
  await server.stop(0);
});
