// Invariant 7: every language's reducer gives the same state for every fixture. Here: the page's.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

import { FileTable, Session, toStatus, utc } from "../../crates/server/assets/reducer.js";

const folder = new URL("../fixtures/", import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith(".json"));

/** As JSON would carry it: equality is that of values, keys in any order, numbers by value. */
const plain = (value) => JSON.parse(JSON.stringify(value));
const stateOf = (session) => (session.state ? plain(toStatus(session.state)) : null);

test("there are fixtures", () => assert.ok(files.length >= 40, `only ${files.length}`));

for (const file of files) {
  const fixture = JSON.parse(readFileSync(new URL(file, folder), "utf8"));
  test(`invariant 7: ${fixture.name}: ${fixture.description}`, () => {
    const session = new Session();
    let expected = fixture.initial;
    if (fixture.initial) session.handle({ event: "pipeline:status", data: plain(fixture.initial) });
    assert.deepStrictEqual(stateOf(session), expected, "the initial state");

    fixture.steps.forEach((step, index) => {
      const where = `step ${index}`;
      if (Object.hasOwn(step, "state")) expected = step.state;
      if (step.op) {
        session[step.op]();
      } else {
        const before = plain(step.message);
        const { verdict, anomalies } = session.handle(step.message);
        assert.equal(verdict, step.verdict, where);
        assert.deepStrictEqual(anomalies, step.anomalies ?? [], where);
        assert.deepStrictEqual(plain(step.message), before, `${where}: a message is not changed`);
      }
      assert.deepStrictEqual(stateOf(session), expected, where);
    });
  });
}

test("a snapshot at any point and the rest of the sequence give the same state as the whole sequence", () => {
  for (const file of files) {
    const { steps, initial } = JSON.parse(readFileSync(new URL(file, folder), "utf8"));
    const messages = steps.filter((step) => step.message && step.verdict === "apply").map((step) => step.message);
    if (steps.some((step) => step.op || (step.message && step.verdict !== "apply"))) continue;
    for (let cut = 1; cut < messages.length; cut += 1) {
      const whole = new Session();
      if (initial) whole.handle({ event: "pipeline:status", data: plain(initial) });
      messages.slice(0, cut).forEach((message) => whole.handle(message));
      if (!whole.state) continue;
      const resumed = new Session();
      resumed.handle({ event: "pipeline:status", data: stateOf(whole) });
      messages.slice(cut).forEach((message) => [whole, resumed].forEach((session) => session.handle(message)));
      assert.deepStrictEqual(stateOf(resumed), stateOf(whole), `${file}, cut at ${cut}`);
    }
  }
});

test("a table lists by seq and evicts the newest open and the oldest ended files", () => {
  const file = (id, state, seq) => ({ id, name: id, state, seq, attempt: 1, extra: new Map() });
  const table = new FileTable([file("e2", "failed", 8), file("q1", "queued", 3), file("e1", "completed", 4)]);
  table.insert(file("p1", "processing", 9));
  table.insert(file("q2", "queued", 10));
  table.insert(file("e3", "skipped", 11));
  assert.deepEqual(table.inOrder().map(({ id }) => id), ["q1", "e1", "e2", "p1", "q2", "e3"]);
  table.evict({ open: 1, ended: 2 });
  assert.deepEqual(table.inOrder().map(({ id }) => id), ["q1", "e2", "p1", "e3"]);
  table.evict({ open: 0, ended: 0 });
  assert.equal(table.size, 0);
});

test("times are read as the contract says", () => {
  for (const [given, expected] of [
    ["2026-01-31T09:30:00Z", "2026-01-31T09:30:00.000Z"],
    ["2026-01-31T09:30:00.123456+02:00", "2026-01-31T07:30:00.123Z"],
    ["2026-01-31t09:30:00.5z", "2026-01-31T09:30:00.500Z"],
    ["1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"],
  ]) assert.equal(utc(given), expected);
  for (const bad of [
    "2026-01-31T09:30:00", "2026-01-31", "", "yesterday", 1769851800, null, "2026-13-01T00:00:00Z", "2026-02-30T09:30:00Z",
    "20260131T093000+00:00", "2026-01-31T09:30Z", "2026-01-31T09:30:00+02", "2026-01-31T09:30:00+0200",
    "2026-01-31T09:30:00+24:00", "2026-01-31T09:30:00,5Z", "2026-01-31T24:00:00Z",
  ]) assert.equal(utc(bad), undefined, String(bad));
});
