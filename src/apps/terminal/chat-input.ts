/** What somebody typed: something to say, or a command. */
export type ChatInput =
  | { readonly type: "nothing" }
  | { readonly type: "say"; readonly text: string }
  | { readonly type: "join"; readonly room: string }
  | { readonly type: "leave" }
  | { readonly type: "rooms" }
  /** `text` null: what is typed from now on goes to this user. */
  | { readonly type: "direct"; readonly user: string; readonly text: string | null }
  | { readonly type: "who" }
  | { readonly type: "members" }
  | { readonly type: "invite" | "remove"; readonly user: string }
  | { readonly type: "history"; readonly count: number }
  | { readonly type: "reconnect" }
  | { readonly type: "help" }
  | { readonly type: "quit" }
  /** Not understood; says why. */
  | { readonly type: "wrong"; readonly why: string };

const historyCount = 20;
const historyCountMax = 500;

export const chatHelp: readonly string[] = [
  "/join ROOM        go to a room; it is made if it is new",
  "/leave            leave this room",
  "/rooms            the rooms you belong to",
  "/dm USER [TEXT]   say something to one person, or talk to them from now on",
  "/who              who is here",
  "/members          who belongs to this room",
  "/invite USER      make somebody a member of this room",
  "/remove USER      put a member out of this room",
  "/history [N]      the last N messages here (20)",
  "/reconnect        try to reach a server now, with the token as it is in its file now",
  "/quit             leave, once everything is stored; so do Ctrl-C and Ctrl-D",
  "//text            says /text",
];

/** Never fails: what is not a command is said, and a command that is not one is told apart from what is said. */
export function parseInput(line: string): ChatInput {
  if (line.trim() === "") return { type: "nothing" };
  if (!line.startsWith("/")) return { type: "say", text: line };
  if (line.startsWith("//")) return { type: "say", text: line.slice(1) };
  const [, word = "", rest = ""] = /^\/(\S*)\s*(.*)$/su.exec(line) ?? [];
  switch (word) {
    case "join":
    case "j":
      return oneWord(rest, "/join ROOM", (room) => ({ type: "join", room }));
    case "leave":
      return rest === "" ? { type: "leave" } : wrong("/leave leaves the room you are in; it takes no name");
    case "rooms":
      return { type: "rooms" };
    case "dm":
    case "msg": {
      const [, user = "", text = ""] = /^@?(\S*)\s*(.*)$/su.exec(rest) ?? [];
      if (user === "") return wrong("/dm USER TEXT: name somebody");
      return { type: "direct", user, text: text === "" ? null : text };
    }
    case "who":
      return { type: "who" };
    case "members":
      return { type: "members" };
    case "invite":
    case "remove":
      return oneWord(rest.replace(/^@/u, ""), `/${word} USER`, (user) => ({ type: word, user }));
    case "history":
      return historyOf(rest.trim());
    case "reconnect":
      return { type: "reconnect" };
    case "help":
    case "?":
      return { type: "help" };
    case "quit":
    case "q":
    case "exit":
      return { type: "quit" };
    default:
      return wrong(`there is no command /${word}; /help lists them, and //${word} says it`);
  }
}

function oneWord(rest: string, usage: string, make: (word: string) => ChatInput): ChatInput {
  const words = rest.trim().split(/\s+/u);
  const [word = ""] = words;
  return word === "" || words.length > 1 ? wrong(`${usage}: name one, without spaces`) : make(word);
}

function historyOf(text: string): ChatInput {
  if (text === "") return { type: "history", count: historyCount };
  const count = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (count === 0) return wrong("/history N: how many messages, such as /history 50");
  return { type: "history", count: Math.min(count, historyCountMax) };
}

const wrong = (why: string): ChatInput => ({ type: "wrong", why });
