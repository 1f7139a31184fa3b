/**
 * Where a server says what happens to it, for people and their tools. Event names are stable; fields are data. No bodies
 * and no secrets.
 */
export interface Log {
  info(event: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(event: string, fields?: Readonly<Record<string, unknown>>): void;
  error(event: string, fields?: Readonly<Record<string, unknown>>): void;
}
