// Builds the page into dist/: one script, one style sheet, an icon, and the licences of what is bundled.
//
// What may come in: the same sources in any folder. What it never does: put a path, a time or an address of this machine
// into what it builds, which is committed and compared byte by byte.
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { licences } from "./build/licences.js";
import { sizes } from "./build/sizes.js";

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  // Relative, so that a host may serve it below any path.
  base: "./",
  resolve: {
    // From source, so that nothing has to be built before.
    alias: [
      { find: /^@ragpulse\/client$/, replacement: source("../bindings/typescript/src/index.ts") },
      { find: /^@ragpulse\/react$/, replacement: source("../bindings/react/src/index.ts") },
      { find: /^@ragpulse\/react\/components$/, replacement: source("../bindings/react/src/components/index.ts") },
      { find: /^@ragpulse\/react\/styles.css$/, replacement: source("../bindings/react/styles.css") },
    ],
    dedupe: ["react", "react-dom"],
  },
  esbuild: { jsx: "automatic", legalComments: "none" },
  build: {
    target: ["chrome123", "firefox121", "safari17.5"],
    assetsInlineLimit: 0,
    modulePreload: false,
    reportCompressedSize: false,
    rollupOptions: {
      output: { inlineDynamicImports: true },
      // "use client" says nothing where everything is.
      onwarn: (warning, warn) => {
        if (warning.code !== "MODULE_LEVEL_DIRECTIVE" && warning.code !== "SOURCEMAP_ERROR") warn(warning);
      },
    },
  },
  plugins: [licences(), sizes(150_000)],
  server: {
    proxy: {
      "/api": process.env["RAGPULSE_URL"] ?? "http://127.0.0.1:8103",
      "/socket.io": { target: process.env["RAGPULSE_URL"] ?? "http://127.0.0.1:8103", ws: true },
    },
  },
  test: { include: ["test/**/*.test.{ts,tsx}"] },
});
