// How the tests run, and what they must have reached.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    coverage: {
      provider: "v8",
      include: ["src/**/*.ts"],
      // Types only: there is nothing to run.
      exclude: ["src/generated/**", "src/**/*.d.ts", "src/machine/io.ts"],
      reporter: ["text", "json-summary"],
      thresholds: { lines: 90 },
    },
  },
});
