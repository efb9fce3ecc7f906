// What is let through to the reducer, and that nothing that is let through breaks it.
import { expect, test } from "vitest";

import { decode } from "../src/decode.js";
import type { Message } from "../src/messages.js";
import { Session } from "../src/session/index.js";
import { toStatus } from "../src/state.js";
import { chance, pick } from "./random.js";

const fixtures = Object.values(
  import.meta.glob<{ initial: object | null; steps: { message?: Message }[] }>("../../../tests/fixtures/*.json", {
    eager: true,
    import: "default",
  }),
);
const messages = fixtures.flatMap(({ steps, initial }) => [
  ...(initial ? [{ event: "pipeline:status", data: initial }] : []),
  ...steps.flatMap(({ message }) => (message ? [message] : [])),
]);

test("every message of the fixtures is let through", () => {
  for (const { event, data } of messages) expect(decode(event, data), JSON.stringify({ event, data })).toMatchObject({ kind: "message" });
});

test("what is no message is told with its pipeline, and what is of a later version is no error", () => {
  const shared = { pipeline_id: "p", pipeline_type: "t", epoch: "e", seq: 1, timestamp: "t", received_at: "t" };
  expect(decode("file:queued", shared)).toEqual({ kind: "bad", pipeline: "p" });
  expect(decode("file:queued", null)).toEqual({ kind: "bad", pipeline: null });
  expect(decode("pipeline:status", [])).toEqual({ kind: "bad", pipeline: null });
  expect(decode("x:mine", { ...shared, seq: 1.5 })).toEqual({ kind: "bad", pipeline: "p" });
  expect(decode("x:mine", shared)).toMatchObject({ kind: "message" });
  expect(decode("toString", shared)).toMatchObject({ kind: "message" });
  expect(decode("hub:news", { text: "hello" })).toEqual({ kind: "foreign" });
  expect(decode("hub:news", "hello")).toEqual({ kind: "foreign" });
});

test("whatever is let through can be folded and written out", () => {
  const random = chance(20_260_131);
  const junk = [null, undefined, 0, -1, 1.5, "", "__proto__", "queued", [], {}, true, [null], { id: 1 }];
  const damage = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null || random() < 0.1) return pick(random, junk);
    const copy: Record<string, unknown> | unknown[] = Array.isArray(value) ? [...value] : { ...value };
    const keys = Object.keys(copy);
    if (keys.length > 0) Reflect.set(copy, pick(random, keys), damage(Reflect.get(copy, pick(random, keys))));
    return copy;
  };
  let through = 0;
  for (let round = 0; round < 20_000; round += 1) {
    const session = new Session();
    for (let step = 0; step < 3; step += 1) {
      const { event, data } = pick(random, messages);
      const decoded = decode(event, random() < 0.7 ? damage(data) : data);
      if (decoded.kind !== "message") continue;
      through += 1;
      session.handle(decoded.message);
      if (session.state) toStatus(session.state);
    }
  }
  expect(through).toBeGreaterThan(10_000);
});
