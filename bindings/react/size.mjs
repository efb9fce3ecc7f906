// Measures what the core weighs in a page, and fails when it is too much: minified and compressed, without React and
// @ragpulse/client.
import { gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const LIMIT = 1_300;
const { outputFiles } = await build({
  entryPoints: [fileURLToPath(new URL("src/index.ts", import.meta.url))],
  bundle: true, minify: true, write: false, format: "esm", target: "es2022", external: ["react", "@ragpulse/client"],
});
const bytes = gzipSync(outputFiles[0].contents, { level: 9 }).length;
console.log(`@ragpulse/react core: ${bytes} B gzip of ${LIMIT}`);
if (bytes > LIMIT) process.exit(1);
