import { Option } from "commander";

/** For people, or for programs: every command that prints has it. */
export const outputOption = (): Option =>
  new Option("-o, --output <format>", "what is printed").choices(["text", "json"]).default("text");
