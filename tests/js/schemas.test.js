// bindings/json-schema: every document is a valid draft 2020-12 schema that stands alone, and judges as the hub does.
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import test from "node:test";

import Ajv from "ajv/dist/2020.js";
import formats from "ajv-formats";

const dir = new URL("../../bindings/json-schema/", import.meta.url);
const names = (await readdir(dir)).map((file) => file.replace(/\.json$/, ""));
const schemas = new Map(
  await Promise.all(
    names.map(async (name) => [name, JSON.parse(await readFile(new URL(`${name}.json`, dir), "utf8"))]),
  ),
);

// One Ajv each: a schema that leaned on another would not compile. Unions of types and `required` without `properties`
// beside it are fine in the standard, so the two strict rules about them are off.
const compile = (name) => {
  const ajv = new Ajv({ strict: true, strictRequired: false, allowUnionTypes: true, strictTypes: false });
  formats(ajv);
  return ajv.compile(schemas.get(name));
};
const check = (name, value) => {
  const validate = compile(name);
  return validate(value) ? [] : validate.errors.map((error) => `${error.instancePath} ${error.message}`);
};

test("every schema compiles alone, in strict mode", () => {
  assert.ok(names.length > 40);
  for (const name of names) compile(name);
});

const shared = {
  pipeline_id: "drive",
  pipeline_type: "google_drive",
  epoch: "e1",
  seq: 3,
  timestamp: "2026-01-31T09:30:00.000Z",
  received_at: "2026-01-31T09:30:00.100Z",
};

test("an event is judged by its fields, and may carry more", () => {
  const event = { ...shared, file: { id: "1", name: "a.pdf" }, change: "created", later: { any: "thing" } };
  assert.deepEqual(check("FileQueued", event), []);
  assert.notDeepEqual(check("FileQueued", { ...event, seq: "3" }), []);
  assert.notDeepEqual(check("FileQueued", { ...event, file: { name: "a.pdf" } }), []);
  assert.notDeepEqual(check("FileQueued", { ...event, queue_position: null }), [], "absent is not null");
  const { received_at: _, ...unstamped } = event;
  assert.notDeepEqual(check("FileQueued", unstamped), []);
});

test("a reported event is judged by its name", () => {
  const file = { name: "a.pdf" };
  const publish = (...events) => check("PublishRequest", { pipeline_id: "drive", events });
  assert.deepEqual(publish({ event: "heartbeat" }, { event: "x:mine", data: { file: 7 } }), []);
  assert.deepEqual(publish({ event: "file:failed", data: { file, error: { message: "no text" } } }), []);
  assert.notDeepEqual(publish({ event: "file:failed", data: { file } }), [], "why it failed is missing");
  assert.notDeepEqual(publish({ event: "file:queued" }), [], "the file is missing");
  assert.notDeepEqual(publish({ event: "heartbeat", sequence: 4 }), [], "beside data nothing may be added");
});

test("open lists take other values, closed ones do not", () => {
  const event = { ...shared, file: { id: "1", name: "a.pdf" } };
  assert.deepEqual(check("FileProcessing", { ...event, processing_stage: "reranking" }), []);
  assert.notDeepEqual(check("FileProcessing", { ...event, previous_state: "lost" }), []);
});

test("an acknowledgement is an answer or an error", () => {
  assert.deepEqual(check("SubscribeReply", { pipelines: [{ pipeline_id: "a", recovered: true, replayed: 0 }] }), []);
  assert.deepEqual(
    check("SubscribeReply", { error: { code: "forbidden", message: "not yours", retryable: false } }),
    [],
  );
  assert.notDeepEqual(check("SubscribeReply", {}), []);
});
