// Runs every test file here: two at a time, but those that measure by themselves.
//
// What may come in: names of test files, to run only these. What it never does: leave a file out, or end well when one
// failed. It says last what was measured, and how long everything took.
import { spawn } from "node:child_process";
import { readdir } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const wanted = process.argv.slice(2);
const files = wanted.length > 0 ? wanted : (await readdir(HERE)).filter((name) => name.endsWith(".test.mjs")).sort();
/** Those that measure how long something takes. */
const ALONE = new Set(["dashboard-list.test.mjs", "demo.test.mjs", "numbers.test.mjs"]);
const isShared = (name) => !ALONE.has(name);
const measured = [];

/** Runs some files; gives whether all is well. */
async function run(names, concurrency) {
  if (names.length === 0) return true;
  const args = ["--test", `--test-concurrency=${concurrency}`, "--test-reporter=spec", ...names];
  const child = spawn(process.execPath, args, { cwd: HERE, stdio: ["ignore", "pipe", "inherit"] });
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (line.startsWith("measured: ")) measured.push(line);
    console.log(line);
  });
  const code = await new Promise((resolve) => child.on("close", resolve));
  return code === 0;
}

const began = performance.now();
const results = [await run(files.filter(isShared), 2), await run(files.filter((name) => !isShared(name)), 1)];
console.log(["", ...measured, `measured: the browser suite took ${Math.round((performance.now() - began) / 1000)} s`].join("\n"));
process.exitCode = results.every(Boolean) ? 0 : 1;
