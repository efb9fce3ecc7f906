// The guards as they are built, against every payload of the fixtures, and against each of them broken.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, expectTypeOf, test } from "vitest";

import { explain, isPayload } from "../dist/guards/index.js";
import type { Payloads } from "../src/index.js";
import { AT, event, status } from "./setup.js";

interface Fixture {
  readonly name: string;
  readonly initial: object | null;
  readonly steps: readonly { readonly message?: { readonly event: string; readonly data: object }; readonly state?: object | null }[];
}
/** The schema of each. A name that is missing here does not compile. */
const PAYLOADS: Record<keyof Payloads, string> = {
  "pipeline:online": "PipelineOnline", "pipeline:offline": "PipelineOffline", "pipeline:removed": "PipelineRemoved",
  "file:queued": "FileQueued", "file:processing": "FileProcessing", "file:progress": "FileProgress", "file:completed": "FileCompleted",
  "file:failed": "FileFailed", "file:skipped": "FileSkipped", "file:retrying": "FileRetrying", "file:cancelled": "FileCancelled",
  "file:deleted": "FileDeleted", "status:update": "StatusUpdate", "pipeline:status": "PipelineStatus", "heartbeat": "Heartbeat",
  "subscription:ended": "SubscriptionEnded", "hub:closing": "HubClosing",
};

const fixtures = Object.values(import.meta.glob<Fixture>("../../../tests/fixtures/*.json", { eager: true, import: "default" }));
const isKnown = (name: string): name is keyof Payloads => Object.hasOwn(PAYLOADS, name);
/** Every message of the fixtures that the contract knows. */
const messages = fixtures.flatMap(({ steps }) => steps.flatMap(({ message }) => (message && isKnown(message.event) ? [message] : [])));

test("every event of the contract has a guard, and is in the fixtures", () => {
  const names = Object.keys(PAYLOADS).sort();
  expect(names).toHaveLength(17);
  expect([...new Set(messages.map(({ event }) => event))].sort()).toEqual(names);
});

test("every payload and every state of the fixtures is good, with fields of a later version too", () => {
  for (const { event: name, data } of messages) {
    if (!isKnown(name)) continue;
    expect(explain(name, data), JSON.stringify(data)).toBe(null);
    expect(isPayload(name, { ...data, of_a_later_version: { any: ["thing"] } })).toBe(true);
  }
  const states = fixtures.flatMap(({ initial, steps }) => [initial, ...steps.map(({ state }) => state)]).filter((state) => state != null);
  expect(states.length).toBeGreaterThan(50);
  for (const state of states) expect(explain("pipeline:status", state)).toBe(null);
});

test("without any one of its required fields, or with a field of another kind, a payload is refused, and the field is told", () => {
  const seen = new Set<string>();
  for (const { event: name, data } of messages) {
    if (!isKnown(name) || seen.has(name)) continue;
    seen.add(name);
    const schema = JSON.parse(readFileSync(new URL(`../../json-schema/${PAYLOADS[name]}.json`, import.meta.url), "utf8")) as { required: string[] };
    expect(schema.required.length, name).toBeGreaterThan(0);
    for (const field of schema.required) {
      const { [field]: _, ...without } = data as Record<string, unknown>;
      expect(explain(name, without), `${name} without ${field}`).toContain(field);
      expect(explain(name, { ...data, [field]: Symbol("no JSON") }), `${name} with a strange ${field}`).toMatch(new RegExp(`^${field}: `));
    }
  }
});

describe("what is wrong is told with its place", () => {
  test.each<[keyof Payloads, unknown, string]>([
    ["heartbeat", null, "must be object"],
    ["heartbeat", "text", "must be object"],
    ["pipeline:status", { ...status("p", 1), seq: -1 }, "seq: must be >= 0"],
    ["pipeline:status", { ...status("p", 1), files: [{ id: "f", name: "f", state: "queued", attempt: 1 }] }, "files[0]: must have required property 'seq'"],
    ["pipeline:status", { ...status("p", 1), timestamp: "yesterday" }, 'timestamp: must match format "date-time"'],
    ["pipeline:removed", { ...event("a b", 1).data }, 'pipeline_id: must match pattern "^[A-Za-z0-9._-]+$"'],
    ["file:deleted", { ...event("p", 1).data, file: { id: 7, name: "n" } }, "file.id: must be string"],
    ["hub:closing", { retry_after_ms: "1" }, "retry_after_ms: must be integer"],
  ])("%s %j", (name, data, expected) => expect(explain(name, data)).toBe(expected));

  test("a name that the contract has not", () => {
    for (const name of ["nope", "constructor", "__proto__"]) {
      expect(explain(name as keyof Payloads, {})).toBe(`the contract has no event "${name}"`);
    }
  });
});

test("TypeScript knows what was found", () => {
  const data: unknown = { retry_after_ms: 5, at: AT };
  if (isPayload("hub:closing", data)) expectTypeOf(data).toEqualTypeOf<Payloads["hub:closing"]>();
  expect(isPayload("hub:closing", data)).toBe(true);
});

test("no code is made of text, as a strict Content-Security-Policy forbids, and nothing else is imported", () => {
  const guards = new URL("../dist/guards/index.js", import.meta.url).href;
  const script = `const { explain } = await import(${JSON.stringify(guards)}); console.log(explain("heartbeat", 7));`;
  const flags = ["--disallow-code-generation-from-strings", "--input-type=module", "--eval", script];
  expect(execFileSync(process.execPath, flags, { encoding: "utf8" })).toBe("must be object\n");
  expect(readFileSync(new URL("validators.js", guards), "utf8")).not.toMatch(/(^|[;}])import\b/m);
});
