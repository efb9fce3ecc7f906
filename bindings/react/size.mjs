// Measures what this package adds to a page that has @ragpulse/client, minified and as gzip sends it, without React; fails
// when the core is too much. The core is the provider and the hooks; `useFiles` and `useHistory`, which ask for pages, and
// the components weigh only where they are used, and are printed.
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

/** Of the core, and of it together with the client, in bytes. */
const LIMIT = 1_300;
const LIMIT_OF_BOTH = 12_000;
const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const CLIENT = 'export { createPipelineStatusStore } from "@ragpulse/client";';

/** What is loaded at once for an entry. */
async function weigh(contents) {
  const { metafile, outputFiles } = await build({
    stdin: { contents: CLIENT + contents, resolveDir: at("src"), sourcefile: "entry", loader: "ts" },
    bundle: true, minify: true, splitting: true, write: false, metafile: true, format: "esm", target: "es2022", outdir: "out", entryNames: "entry",
    jsx: "automatic", external: ["react", "react-dom", "react/jsx-runtime", "socket.io-client"], alias: { "@ragpulse/client": at("../typescript/src/index.ts") },
  });
  const { outputs } = metafile;
  const reached = new Set();
  const reach = (name) => {
    if (reached.has(name)) return;
    reached.add(name);
    for (const { path, kind, external } of outputs[name].imports) if (kind === "import-statement" && !external) reach(path);
  };
  reach(Object.keys(outputs).find((name) => name.endsWith("/entry.js")));
  const bytesOf = (name) => gzipSync(outputFiles.find(({ path }) => path.replaceAll("\\", "/").endsWith(`/${name}`)).contents, { level: 9 }).length;
  return [...reached].reduce((sum, name) => sum + bytesOf(name), 0);
}

const client = await weigh("");
const core = await weigh('export * from "./provider.js"; export * from "./hooks.js"; export * from "./lost.js";');
const hooks = await weigh('export * from "./index.js";');
const components = await weigh('export * from "./index.js"; export * from "./components/index.js";');
const line = (name, bytes) => console.log(`${String(bytes).padStart(7)} B  ${name}`);
line("@ragpulse/client, at once", client);
line(`the core beside it; the limit is ${LIMIT} B`, core - client);
line(`the client and the core; the limit is ${LIMIT_OF_BOTH} B`, core);
line("useFiles and useHistory beside them", hooks - core);
line("all components beside them, with @tanstack/react-virtual", components - hooks);
if (core - client > LIMIT || core > LIMIT_OF_BOTH) {
  console.error("the core of @ragpulse/react, or it together with the client, is larger than its limit: take something out");
  process.exitCode = 1;
}
