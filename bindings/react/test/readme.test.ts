// The examples of the README compile as they stand there.
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import ts from "typescript";
import { expect, test } from "vitest";

const folder = resolve(import.meta.dirname, "..");
const blocks = [...readFileSync(`${folder}/README.md`, "utf8").matchAll(/```tsx\n(.*?)```/gs)].map(([, code]) => code ?? "");

test("there are examples, and they compile", () => {
  expect(blocks.length).toBeGreaterThan(3);
  const { config } = ts.readConfigFile(`${folder}/tsconfig.test.json`, (path) => ts.sys.readFile(path)) as { config: object };
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, folder);
  const files = new Map(blocks.map((code, index) => [`${folder}/test/readme-${index}.tsx`, code]));
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (path) => files.has(path) || fileExists(path);
  host.readFile = (path) => files.get(path) ?? readFile(path);
  host.getSourceFile = (path, ...rest) => {
    const code = files.get(path);
    return code === undefined ? getSourceFile(path, ...rest) : ts.createSourceFile(path, code, rest[0]);
  };
  const program = ts.createProgram([...files.keys(), `${folder}/test/css.d.ts`], { ...options, noUnusedLocals: false }, host);
  const problems = [...files.keys()].flatMap((path) => {
    const source = program.getSourceFile(path);
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
      .map(({ messageText, start, file }) => `${path.slice(dirname(path).length + 1)}:${file?.getLineAndCharacterOfPosition(start ?? 0).line}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`);
  });
  expect(problems).toEqual([]);
}, 60_000);
