import { expect, test } from "vitest";
import { type ChatInput, parseInput } from "../../src/apps/terminal/chat-input.ts";

test.each<[string, ChatInput]>([
  ["", { type: "nothing" }],
  ["  \t", { type: "nothing" }],
  ["hello", { type: "say", text: "hello" }],
  ["  kept as it is ", { type: "say", text: "  kept as it is " }],
  ["//etc/hosts", { type: "say", text: "/etc/hosts" }],
  ["/join ops", { type: "join", room: "ops" }],
  ["/join  #ops ", { type: "join", room: "#ops" }],
  ["/leave", { type: "leave" }],
  ["/rooms", { type: "rooms" }],
  ["/who", { type: "who" }],
  ["/members", { type: "members" }],
  ["/invite bob", { type: "invite", user: "bob" }],
  ["/remove @bob ", { type: "remove", user: "bob" }],
  ["/reconnect", { type: "reconnect" }],
  ["/help", { type: "help" }],
  ["/quit", { type: "quit" }],
  ["/dm bob", { type: "direct", user: "bob", text: null }],
  ["/dm @bob hi  there", { type: "direct", user: "bob", text: "hi  there" }],
  ["/dm 漢字 早", { type: "direct", user: "漢字", text: "早" }],
  ["/history", { type: "history", count: 20 }],
  ["/history 5", { type: "history", count: 5 }],
  ["/history 999999", { type: "history", count: 500 }],
])("%j", (line, input) => {
  expect(parseInput(line)).toEqual(input);
});

test.each([
  "/join",
  "/join a b",
  "/dm",
  "/invite",
  "/remove a b",
  "/history -1",
  "/history x",
  "/usr/bin/env",
  "/",
  "/leave ops",
])("%j is no command, and is not said either", (line) => {
  expect(parseInput(line).type).toBe("wrong");
});
