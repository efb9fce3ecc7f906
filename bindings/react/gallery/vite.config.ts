// The gallery: every component, fed by a hub in memory. It is not published.
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  root: at("."),
  base: "./",
  esbuild: { rollupOptions: { onwarn: (warning, warn) => warning.code === "MODULE_LEVEL_DIRECTIVE" || warn(warning) }, jsx: "automatic" },
  resolve: {
    alias: [
      { find: /^@ragpulse\/client$/, replacement: at("../../typescript/src/index.ts") },
      { find: /^@ragpulse\/client\/session$/, replacement: at("../../typescript/src/session.ts") },
    ],
  },
  build: { rollupOptions: { onwarn: (warning, warn) => warning.code === "MODULE_LEVEL_DIRECTIVE" || warn(warning) }, outDir: at("../node_modules/.gallery"), emptyOutDir: true, chunkSizeWarningLimit: 2_000 },
});
