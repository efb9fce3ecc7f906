// Compiles the packages of this repository where npm has copied them to, so that nothing need be built before.
//
// What may come in: dependencies that package.json takes from folders (`file:`). What it never does: touch a package
// that came from a registry, which is compiled already. Who takes them from there can drop this script.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");

const config = {
  compilerOptions: {
    target: "ES2022",
    lib: ["ES2022", "DOM", "DOM.Iterable"],
    module: "NodeNext",
    jsx: "react-jsx",
    strict: true,
    exactOptionalPropertyTypes: true,
    verbatimModuleSyntax: true,
    types: [],
    declaration: true,
    sourceMap: true,
    rootDir: "src",
    outDir: "dist",
    // They are checked where they are written.
    noCheck: true,
  },
  include: ["src"],
};

for (const [name, source] of Object.entries(dependencies)) {
  if (!source.startsWith("file:")) continue;
  const folder = join(root, "node_modules", name);
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config, null, 2));
  execFileSync(process.execPath, [tsc, "-p", folder], { stdio: "inherit" });
  console.log(`compiled ${name}`);
}
