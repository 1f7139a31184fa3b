/**
 * What the page remembers of a visitor: the name, on this device; the token, in this tab only, because whoever has it
 * is that user. Where the browser keeps nothing, everything is asked again.
 */
const nameKey = "synod.name";
const tokenKey = "synod.token";
const languageKey = "synod.language";

export interface SignIn {
  readonly name: string;
  readonly token: string | null;
}

export function rememberedSignIn(): SignIn {
  return { name: read(() => localStorage, nameKey) ?? "", token: read(() => sessionStorage, tokenKey) };
}

export function rememberSignIn({ name, token }: SignIn): void {
  write(() => localStorage, nameKey, name);
  write(() => sessionStorage, tokenKey, token);
}

export function forgetSignIn(): void {
  write(() => localStorage, nameKey, null);
  write(() => sessionStorage, tokenKey, null);
}

export const rememberedLanguage = (): string | null => read(() => localStorage, languageKey);

export const rememberLanguage = (language: string): void => write(() => localStorage, languageKey, language);

// A browser that is told to keep nothing throws, also on the mere mention of a storage.
function read(storage: () => Storage, key: string): string | null {
  try {
    return storage().getItem(key);
  } catch (error) {
    return unavailable(error, null);
  }
}

function write(storage: () => Storage, key: string, value: string | null): void {
  try {
    if (value === null) storage().removeItem(key);
    else storage().setItem(key, value);
  } catch (error) {
    unavailable(error, null);
  }
}

function unavailable<T>(error: unknown, instead: T): T {
  if (error instanceof DOMException) return instead;
  throw error;
}
