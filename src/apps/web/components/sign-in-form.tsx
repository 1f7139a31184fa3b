import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { SignIn } from "../sign-in-memory.ts";
import { failureOf, type Language, type Texts } from "../texts.ts";

/** Asks who speaks and, where the server has refused them without, for their token. */
export function SignInForm(props: {
  texts: Texts;
  language: Language;
  name: string;
  wantsToken: boolean;
  /** The code of what the last try was refused with. */
  refusal: string | null;
  onEnter: (signIn: SignIn) => void;
  onLanguage: () => void;
}): JSX.Element {
  const { texts, refusal } = props;
  const [name, setName] = useState(props.name);
  const [token, setToken] = useState("");
  const wantsToken = props.wantsToken || refusal === "unauthorized";
  const submit = (event: Event): void => {
    event.preventDefault();
    const trimmed = name.trim().normalize("NFC");
    if (trimmed !== "") props.onEnter({ name: trimmed, token: token.trim() === "" ? null : token.trim() });
  };
  return (
    <main class="sign-in">
      <form onSubmit={submit}>
        <header>
          <h1>synod</h1>
          <button type="button" class="quiet" aria-label={texts.languageLabel} onClick={props.onLanguage}>
            {texts.language}
          </button>
        </header>
        <p class="tagline">{texts.tagline}</p>
        <label>
          <span>{texts.yourName}</span>
          <input
            name="user"
            autocomplete="username"
            spellcheck={false}
            required
            maxLength={60}
            autofocus
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </label>
        {wantsToken && (
          <label>
            <span>{texts.token}</span>
            <textarea
              name="token"
              rows={4}
              spellcheck={false}
              autocomplete="off"
              value={token}
              onInput={(event) => setToken(event.currentTarget.value)}
            />
            <small>{texts.tokenHelp}</small>
          </label>
        )}
        {refusal !== null && (
          <p class="refusal" role="alert">
            {refusal === "bad_request" ? texts.nameRefused : failureOf(texts, refusal)}
          </p>
        )}
        <button type="submit" class="primary">
          {texts.enter}
        </button>
      </form>
    </main>
  );
}
