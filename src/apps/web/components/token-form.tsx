import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Texts } from "../texts.ts";

/** Asks for another token while the page stays as it is: what is read and what is being written are not touched. */
export function TokenForm(props: { texts: Texts; onToken: (token: string) => void }): JSX.Element {
  const { texts } = props;
  const [token, setToken] = useState("");
  const submit = (event: Event): void => {
    event.preventDefault();
    const trimmed = token.trim();
    if (trimmed !== "") props.onToken(trimmed);
  };
  return (
    <form class="token-form" onSubmit={submit}>
      <span role="alert">{texts.tokenEnded}</span>
      <input
        name="token"
        type="password"
        spellcheck={false}
        autocomplete="off"
        aria-label={texts.token}
        placeholder={texts.token}
        value={token}
        onInput={(event) => setToken(event.currentTarget.value)}
      />
      <button type="submit" class="primary">
        {texts.goOn}
      </button>
    </form>
  );
}
