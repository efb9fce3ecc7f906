// The gallery: every component, fed by a hub in memory. It is not published.
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

import { client } from "../vitest.config.js";

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  root: at("."),
  base: "./",
  esbuild: { jsx: "automatic" },
  resolve: {
    alias: client,
  },
  build: {
    rollupOptions: { onwarn: (warning, warn) => void (warning.code === "MODULE_LEVEL_DIRECTIVE" || warn(warning)) },
    outDir: at("../node_modules/.gallery"), emptyOutDir: true, chunkSizeWarningLimit: 2_000 },
});
