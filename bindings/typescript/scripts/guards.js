// Makes dist/guards/validators.js: what bindings/json-schema says of every payload, as plain functions that need neither
// this library nor `eval` when they run.
//
// What may come in: the committed schemas and the table of the contract. What it never does: use the network; leave an
// import in what it makes.
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import Ajv from "ajv/dist/2020.js";
import standalone from "ajv/dist/standalone/index.js";
import { build } from "esbuild";

const read = async (path) => JSON.parse(await readFile(new URL(`../../${path}`, import.meta.url), "utf8"));
const { events, messages } = await read("contract.json");
const payloads = [...events, ...messages].map(({ name, payload }) => [name, payload]);

// As in tests/js: unions of types, and `required` without `properties` beside it, are fine in the standard.
const ajv = new Ajv({
  code: { source: true, esm: true, optimize: 2 }, inlineRefs: false, strict: true, strictRequired: false, strictTypes: false, allowUnionTypes: true,
});
// RFC 3339. ajv-formats would bring every format there is.
const TIME = /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/i;
ajv.addFormat("date-time", TIME);
/** An export's name for each payload. */
const exports = {};
for (const [, payload] of payloads) {
  if (Object.hasOwn(exports, payload)) continue;
  const schema = await read(`json-schema/${payload}.json`);
  ajv.addSchema(schema);
  exports[payload] = schema.$id;
}

const table = payloads.map(([name, payload]) => `  ${JSON.stringify(name)}: ${payload},`).join("\n");
await build({
  stdin: {
    contents: `${standalone(ajv, exports)}\nexport const validators = {\n${table}\n};\n`,
    resolveDir: fileURLToPath(new URL("..", import.meta.url)),
  },
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  banner: { js: "// Made of bindings/json-schema by scripts/guards.js, do not edit." },
  outfile: fileURLToPath(new URL("../dist/guards/validators.js", import.meta.url)),
  logLevel: "warning",
});
