import { fileURLToPath } from "node:url";
import { mergeConfig } from "vite";
import common from "../web/vite.config.ts";

/** Two pages of the same parts: what a server shows of its cluster, and the demonstration. */
const pageAt = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

export default mergeConfig(common, {
  build: { rollupOptions: { input: [pageAt("./index.html"), pageAt("./demo.html")] } },
});
