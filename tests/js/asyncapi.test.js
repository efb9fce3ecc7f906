// bindings/asyncapi.yaml passes the official parser, and says what the table says.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test from "node:test";

import { DiagnosticSeverity, Parser } from "@asyncapi/parser";

const bindings = new URL("../../bindings/", import.meta.url);
const text = await readFile(new URL("asyncapi.yaml", bindings), "utf8");
const contract = JSON.parse(await readFile(new URL("contract.json", bindings), "utf8"));

const errorsOf = (diagnostics) =>
  diagnostics
    .filter((diagnostic) => diagnostic.severity === DiagnosticSeverity.Error)
    .map((diagnostic) => `${diagnostic.path.join("/")}: ${diagnostic.message}`);

const { document, diagnostics } = await new Parser().parse(text);

test("the official parser finds no error", () => {
  assert.deepEqual(errorsOf(diagnostics), []);
  assert.ok(document, "the parser gives a document");
  assert.equal(document.version(), "3.0.0");
});

test("the parser reads the schemas, and would name a broken one", async () => {
  const broken = text.replace(/^ {4}FileQueued:\n {6}description: .*\n {6}type: "object"/m, (found) =>
    found.replace('"object"', '"objekt"'),
  );
  assert.notEqual(broken, text, "the schema to break is there");
  const result = await new Parser().parse(broken);
  assert.notDeepEqual(errorsOf(result.diagnostics), []);
});

test("every event and message is sent to subscribers, and each command received and answered", () => {
  const operations = document.operations().all();
  const namesIn = (address, action) =>
    operations
      .filter((operation) => operation.action() === action)
      .filter((operation) => operation.channels().all().some((channel) => channel.address() === address))
      .flatMap((operation) => operation.messages().all().map((message) => message.name()));
  const sent = [...contract.events, ...contract.messages].map((entry) => entry.name);
  const commands = (namespace) =>
    contract.commands.filter((command) => command.namespace === namespace).map((command) => command.name);

  for (const address of ["/", "/google_drive", "/local_files"]) {
    assert.deepEqual(namesIn(address, "send").sort(), [...sent, "x:"].sort());
    assert.deepEqual(namesIn(address, "receive").sort(), commands("/").sort());
  }
  assert.deepEqual(namesIn("/ingest", "send"), []);
  assert.deepEqual(namesIn("/ingest", "receive"), commands("/ingest"));
  for (const operation of operations.filter((operation) => operation.action() === "receive")) {
    const reply = operation.reply();
    assert.equal(reply?.messages().all().length, 1, `${operation.id()} has a reply`);
  }
});
