// The built example of Next.js: started on a free port, with the hub it is told, ended for certain.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { after } from "node:test";
import { fileURLToPath } from "node:url";

import { until } from "./wait.mjs";

export const EXAMPLE = fileURLToPath(new URL("../../../examples/nextjs-dashboard/", import.meta.url));

/** Settings of the person who runs the tests do not reach it. */
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(RAGPULSE_|RAG_|NEXT_|NODE_OPTIONS|NODE_TEST_CONTEXT)/.test(name)),
);

/**
 * Starts the example. `hub`: where its server reaches the hub; `browsers`: where browsers do, "" for not at all; `env`: more
 * variables.
 */
export async function startNext({ hub, browsers = hub, env = {} }) {
  if (!existsSync(`${EXAMPLE}.next/BUILD_ID`)) {
    throw new Error("examples/nextjs-dashboard is not built: run `npm run test:full -w tests/js`, or there npm ci && npm run build");
  }
  const next = `${EXAMPLE}node_modules/next/dist/bin/next`;
  const program = spawn(process.execPath, [next, "start", "--hostname", "127.0.0.1", "--port", "0"], {
    cwd: EXAMPLE,
    env: { ...environment, RAGPULSE_URL: hub, NEXT_PUBLIC_RAGPULSE_URL: browsers, NEXT_TELEMETRY_DISABLED: "1", NODE_ENV: "production", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines = [];
  for (const stream of [program.stdout, program.stderr]) createInterface({ input: stream }).on("line", (line) => lines.push(line));
  const ended = new Promise((resolve) => program.on("close", resolve));
  const stop = () => {
    program.kill("SIGKILL");
    return ended;
  };
  after(stop);
  let url;
  await until(
    () => {
      url ??= lines.map((line) => /Local:\s+(http:\/\/\S+)/.exec(line)?.[1]).find(Boolean);
      if (program.exitCode !== null) throw new Error(`next start ended: ${lines.join("\n")}`);
      return url && lines.some((line) => line.includes("Ready"));
    },
    () => `next start to be ready; it said ${lines.join("\n")}`,
    60,
  );
  return { url, lines, stop };
}
