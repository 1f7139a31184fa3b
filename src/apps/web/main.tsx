import { render } from "preact";
import { ChatError } from "../../client/outcome.ts";
import { browserRandom } from "../../platform/browser/browser-ports.ts";
import { connect } from "../../platform/browser/connect.ts";
import { indexedDbOutbox } from "../../platform/browser/indexed-db-outbox.ts";
import { ChatModel } from "./chat-model.ts";
import { App } from "./components/app.tsx";
import { SignInForm } from "./components/sign-in-form.tsx";
import { KeptOutbox } from "./kept-outbox.ts";
import {
  forgetSignIn,
  rememberedLanguage,
  rememberedSignIn,
  rememberLanguage,
  rememberSignIn,
  type SignIn,
} from "./sign-in-memory.ts";
import { type Language, preferredLanguage, textsOf } from "./texts.ts";

/** What the page is doing as a whole. A client lives as long as its page: to be somebody else is to load it again. */
type Stage =
  | { readonly name: "asking"; readonly refusal: string | null }
  | { readonly name: "chatting"; readonly model: ChatModel };

const root = document.getElementById("page")!;
const remembered = rememberedLanguage();
let language: Language =
  remembered === "en" || remembered === "zh" ? remembered : preferredLanguage(navigator.languages);
/** What the next greeting shows. */
let shownToken: string | null = null;
let stage: Stage = begin(rememberedSignIn());

function begin(signIn: SignIn): Stage {
  const { name, token } = signIn;
  shownToken = token;
  if (name === "") return { name: "asking", refusal: null };
  try {
    const outbox = new KeptOutbox(indexedDbOutbox({ user: name, random: browserRandom() }));
    const chat = connect(location.origin, {
      user: name,
      outbox,
      ...(token === null ? {} : { token: () => Promise.resolve(shownToken ?? token) }),
    });
    return { name: "chatting", model: new ChatModel(chat, outbox) };
  } catch (error) {
    if (!(error instanceof ChatError)) throw error;
    return { name: "asking", refusal: error.code };
  }
}

function enter(signIn: SignIn): void {
  rememberSignIn(signIn);
  if (stage.name === "chatting") {
    // The page's locks and its outbox belong to the client that was; a new page takes them over.
    location.reload();
    return;
  }
  stage = begin(signIn);
  draw();
}

function renew(token: string): void {
  if (stage.name !== "chatting") return;
  const { chat } = stage.model;
  rememberSignIn({ name: chat.user, token });
  shownToken = token;
  chat.reconnect();
}

function signOut(): void {
  forgetSignIn();
  if (stage.name === "chatting") stage.model.chat.close().then(reload, reload);
  else reload();
}

const reload = (): void => location.reload();

function switchLanguage(): void {
  language = language === "en" ? "zh" : "en";
  rememberLanguage(language);
  draw();
}

function draw(): void {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  const texts = textsOf(language);
  const common = { texts, language, onLanguage: switchLanguage };
  if (stage.name === "asking") {
    const { name, token } = rememberedSignIn();
    render(
      <SignInForm {...common} name={name} wantsToken={token !== null} refusal={stage.refusal} onEnter={enter} />,
      root,
    );
    return;
  }
  render(<App {...common} model={stage.model} onEnter={enter} onToken={renew} onSignOut={signOut} />, root);
}

draw();
