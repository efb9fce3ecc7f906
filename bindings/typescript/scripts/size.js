// How much of this package is loaded for `connectPipelineStatus`, minified and as gzip sends it, without
// socket.io-client; fails above the budget. It needs `npm run build` before, and no network.
//
// What may come in: the built package. What it never does: count what is loaded later as if it were loaded at once, or
// leave out what the entry imports statically: both are printed.
import { build } from "esbuild";
import { gzipSync } from "node:zlib";

/** In bytes. */
const BUDGET = 10_750;
const ENTRY = "entry";

const { metafile, outputFiles } = await build({
  stdin: {
    contents: 'export { connectPipelineStatus, createPipelineStatusStore } from "./dist/index.js";',
    resolveDir: new URL("..", import.meta.url).pathname,
    sourcefile: ENTRY,
  },
  bundle: true,
  minify: true,
  splitting: true,
  format: "esm",
  target: "es2022",
  external: ["socket.io-client"],
  outdir: "out",
  entryNames: ENTRY,
  metafile: true,
  write: false,
});

const { outputs } = metafile;
/** Bytes by gzip of each chunk, by its name. */
const sizes = new Map(
  Object.keys(outputs).map((name) => {
    const file = outputFiles.find(({ path }) => path.replaceAll("\\", "/").endsWith(`/${name}`));
    return [name, gzipSync(file.contents, { level: 9 }).length];
  }),
);

/** What is loaded together with a chunk. */
function reach(name, reached = new Set()) {
  if (reached.has(name)) return reached;
  reached.add(name);
  for (const { path, kind, external } of outputs[name].imports) if (kind === "import-statement" && !external) reach(path, reached);
  return reached;
}

const sum = (names) => [...names].reduce((total, name) => total + sizes.get(name), 0);
const entry = Object.keys(outputs).find((name) => name.endsWith(`/${ENTRY}.js`));
const first = reach(entry);
const total = sum(first);
for (const [name, size] of sizes) console.log(`${String(size).padStart(7)} B  ${first.has(name) ? "at once" : "later  "}  ${name}`);
console.log(`${String(sum(sizes.keys())).padStart(7)} B  all of it`);
console.log(`${String(total).padStart(7)} B  at once; the budget is ${BUDGET} B`);
if (total > BUDGET) {
  console.error("@ragpulse/client is larger than its budget: take something out, or load it later");
  process.exitCode = 1;
}
