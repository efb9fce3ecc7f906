// docs/guides/frontend: every example is compiled against the packages; those that can run are run against a live hub; the
// commands exist, and what is quoted from this repository stands there.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import ts from "typescript";

import { examplesIn, examplesOf, ROOT } from "./support/examples.mjs";
import { binary, file, run, startHub } from "./support/program.mjs";

const exec = promisify(execFile);
const GUIDE = "docs/guides/frontend";
const HUB = "http://127.0.0.1:8103";
const { pages, examples } = await examplesIn(GUIDE);
const hub = await startHub();

// Below this folder, so that the packages are found as in a project that has installed them.
const project = fileURLToPath(new URL(`.guides-${process.pid}/`, import.meta.url));
await mkdir(project, { recursive: true });
after(() => rm(project, { recursive: true, force: true }));

const files = examples.filter((example) => example.file);
for (const { file, text, where } of files) {
  const path = join(project, file);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text.replaceAll(HUB, hub.url), { flag: "wx" }).catch(() => assert.fail(`${where}: there is another ${file} in this guide`));
}
await writeFile(join(project, "package.json"), JSON.stringify({ type: "module", private: true }));

/** What the examples find in the hub. */
await hub.open("local-files-pipeline", "local_files", { watch_location: "/srv/documents", check_interval: 60 });
await hub.publish(
  "local-files-pipeline",
  file("file:processing", "report"), file("file:completed", "report", { results: { chunks_created: 12 } }),
  file("file:processing", "scan"), file("file:failed", "scan", { error: { type: "ExtractionError", message: "no text layer" } }),
  file("file:processing", "notes", { processing_stage: "embedding" }),
);

const text = (diagnostic) =>
  ts.formatDiagnostic(diagnostic, { getCanonicalFileName: (name) => name, getCurrentDirectory: () => project, getNewLine: () => "\n" });

/** Compiles files of the project; gives what is wrong with them. */
function compile(names) {
  const options = {
    target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: ["lib.es2022.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"], jsx: ts.JsxEmit.ReactJSX, strict: true, exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true, verbatimModuleSyntax: true, skipLibCheck: true, noEmit: true, types: ["node"], paths: { "@/*": [`${project}*`] },
  };
  return ts.getPreEmitDiagnostics(ts.createProgram(names.map((name) => join(project, name)), options)).map(text);
}

test("the pages are there, and each is in the index", async () => {
  assert.deepEqual(pages, [
    "01-dependencies.md", "02-client-setup.md", "03-type-definitions.md", "04-components.md", "05-api-routes.md", "06-testing.md", "README.md",
  ]);
  const index = await readFile(`${ROOT}${GUIDE}/README.md`, "utf8");
  for (const page of pages.slice(0, -1)) assert.ok(index.includes(`](${page})`), page);
});

test("the examples compile against the packages", () => {
  assert.ok(files.length >= 20, `${files.length} files`);
  assert.deepEqual(compile(files.map(({ file }) => file)), []);
});

test("an example that is wrong does not pass", async () => {
  const wrong = "wrong.tsx";
  await writeFile(join(project, wrong), 'import { usePipelineStatus } from "@ragpulse/react";\nexport const x = () => usePipelineStatus("docs")!.no_such_field;\n');
  assert.match(compile([wrong]).join(), /no_such_field/);
  for (const block of ["```ts\n```", "```\nx\n```", "```ts file=a.ts\nx", "```ts file=a.ts from=b.ts\n```"]) assert.throws(() => examplesOf("page", block), Error, block);
});

test("what is quoted from this repository stands there", async () => {
  for (const { from, text, where } of examples.filter((example) => example.from)) {
    const source = await readFile(`${ROOT}${from}`, "utf8").catch(() => assert.fail(`${where}: there is no ${from}`));
    assert.ok(`\n${source}`.includes(`\n${text}`), `${where}: this is not in ${from}:\n${text}`);
  }
});

for (const example of examples.filter((example) => example.is("run"))) {
  test(`${example.file} runs, and prints what the guide says`, async () => {
    const { outputText } = ts.transpileModule(await readFile(join(project, example.file), "utf8"), {
      compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true },
    });
    const path = join(project, example.file.replace(/\.ts$/, ".run.mjs"));
    await writeFile(path, outputText);
    const { stdout } = await exec(process.execPath, [path], { timeout: 60_000, cwd: project });
    assert.ok(example.output !== null, `${example.where}: a block of "text output" says what it prints`);
    assert.equal(stdout.replaceAll(hub.url, HUB), example.output);
  });
}

test("the tests of the guide pass", async () => {
  const tests = examples.filter((example) => example.is("vitest")).map(({ file }) => file);
  assert.ok(tests.length >= 3);
  const require = createRequire(import.meta.url);
  const vitest = join(dirname(require.resolve("vitest/package.json")), "vitest.mjs");
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { stdout } = await exec(process.execPath, [vitest, "run", "--root", project, "--reporter=json", ...tests], {
    cwd: project, timeout: 120_000, env: { ...env, PATH: `${dirname(binary())}:${process.env.PATH}` },
  }).catch((error) => assert.fail(`${error.stdout}\n${error.stderr}`));
  const result = JSON.parse(stdout.slice(stdout.indexOf("{")));
  assert.equal(result.numTotalTestSuites > 0 && result.success, true);
  assert.equal(result.numFailedTests + result.numPendingTests, 0);
  assert.equal(result.testResults.length, tests.length);
});

/** What the program says of a command's options. */
const helps = new Map();
async function optionsOf(command) {
  if (!helps.has(command)) helps.set(command, await run([command, "--help"]));
  const { code, out } = helps.get(command);
  assert.equal(code, 0, `ragpulse ${command}`);
  return new Set(out.match(/--[a-z-]+/g));
}

async function checkCommand(line, where) {
  const words = line.replace(/\s+#.*$/, "").trim().split(/\s+/);
  const program = line.startsWith("cargo run --release -- ") ? ["ragpulse", ...words.slice(4)] : words;
  if (program[0] === "ragpulse") {
    const known = await optionsOf(program[1]);
    for (const word of program) if (word.startsWith("--")) assert.ok(known.has(word.split("=")[0]), `${where}: ragpulse ${program[1]} has no ${word}`);
    return;
  }
  if (words[0] === "curl") {
    const { stdout } = await exec("bash", ["-c", line.replaceAll(HUB, hub.url).replace(/^curl/, "curl -sS --fail-with-body --max-time 20")], { timeout: 30_000 });
    assert.ok(stdout.length > 0, `${where}: ${line} prints nothing`);
    return;
  }
  if (words[0] === "npm" && words[1] === "install") {
    const lock = JSON.parse(await readFile(`${ROOT}package-lock.json`, "utf8"));
    for (const name of words.slice(2).filter((word) => !word.startsWith("-"))) {
      if (name.endsWith(".tgz")) continue;
      assert.ok(lock.packages[`node_modules/${name}`], `${where}: ${name} is not among the packages that these examples are tested with`);
    }
    return;
  }
  if (words[0] === "npm" && words[1] === "pack") {
    const { stdout } = await exec("npm", [...words.slice(1), "--dry-run", "--ignore-scripts", "--json"], { cwd: ROOT, timeout: 60_000 });
    assert.ok(stdout.includes("@ragpulse/"), `${where}: it packs nothing`);
    return;
  }
  assert.ok(["npx vitest", "npm test"].some((known) => line.startsWith(known)), `${where}: nobody has tried: ${line}`);
}

test("the commands exist, with the options that are given, and those that ask a hub are answered", async () => {
  const shell = examples.filter(({ language }) => language === "sh");
  assert.ok(shell.length >= 5);
  for (const { text, where } of shell) {
    for (const line of text.replaceAll("\\\n", " ").split("\n").filter((line) => line.trim() && !line.startsWith("#"))) await checkCommand(line, where);
  }
});

test("data is what it says it is", () => {
  for (const { text, where } of examples.filter(({ language }) => language === "json")) {
    assert.doesNotThrow(() => JSON.parse(text), where);
  }
});

test("every link leads somewhere", async () => {
  for (const page of pages) {
    const markdown = await readFile(`${ROOT}${GUIDE}/${page}`, "utf8");
    for (const [, target] of markdown.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)) {
      if (/^https?:/.test(target)) continue;
      await readFile(join(ROOT, GUIDE, target)).catch(({ code }) => assert.equal(code, "EISDIR", `${page}: ${target}`));
    }
  }
});
