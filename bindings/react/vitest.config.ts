// The tests, on React 19; vitest.react-18.config.ts runs the same on React 18.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** @ragpulse/client from its source, so that it need not be built before. */
const source = at("../typescript/src");
const session = [`${source}/session/index.ts`, `${source}/session.ts`].find((path) => existsSync(path)) ?? source;
export const client = [
  { find: /^@ragpulse\/client$/, replacement: `${source}/index.ts` },
  { find: /^@ragpulse\/client\/session$/, replacement: session },
];

export default defineConfig({
  root: at("."),
  esbuild: { jsx: "automatic" },
  resolve: { alias: client },
  test: {
    environment: "happy-dom",
    include: ["test/**/*.test.{ts,tsx}"],
    setupFiles: ["test/setup.ts"],
    restoreMocks: true,
    testTimeout: 60_000,
    env: { REACT: "19" },
    coverage: {
      provider: "v8", include: ["src/**"], reporter: ["text", "json-summary"], reportsDirectory: "node_modules/.coverage",
      thresholds: { lines: 90 },
    },
  },
});
