// Invariant 7: every language's reducer gives the same state for every fixture. Here: this package's.
import { describe, expect, test } from "vitest";

import type { PipelineStatus } from "../src/generated/index.js";
import type { Message } from "../src/messages.js";
import type { Anomaly } from "../src/reducer.js";
import { Session, type Verdict } from "../src/session/index.js";
import { toStatus } from "../src/state.js";

interface Step {
  readonly op?: "resynced" | "reset";
  readonly message?: Message;
  readonly verdict?: Verdict;
  readonly anomalies?: readonly Anomaly[];
  readonly state?: PipelineStatus | null;
}
interface Fixture {
  readonly name: string;
  readonly description: string;
  readonly initial: PipelineStatus | null;
  readonly steps: readonly Step[];
}

const fixtures = Object.values(
  import.meta.glob<Fixture>("../../../tests/fixtures/*.json", { eager: true, import: "default" }),
);

/** As JSON would carry it: equality is that of values, keys in any order, numbers by value. */
const plain = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;
const stateOf = (session: Session): PipelineStatus | null => (session.state ? plain(toStatus(session.state)) : null);
const begun = (initial: PipelineStatus | null): Session => {
  const session = new Session();
  if (initial) session.handle({ event: "pipeline:status", data: plain(initial) });
  return session;
};

test("there are fixtures", () => expect(fixtures.length).toBeGreaterThanOrEqual(40));

describe("invariant 7", () => {
  test.each(fixtures.map((fixture) => [fixture.name, fixture] as const))("%s", (_, { initial, steps }) => {
    const session = begun(initial);
    let expected = initial;
    expect(stateOf(session)).toStrictEqual(expected);
    steps.forEach((step, index) => {
      const where = `step ${index}`;
      if (step.state !== undefined) expected = step.state;
      if (step.op) session[step.op]();
      if (step.message) {
        const before = plain(step.message);
        const { verdict, anomalies } = session.handle(step.message);
        expect(verdict, where).toBe(step.verdict);
        expect(anomalies, where).toStrictEqual(step.anomalies ?? []);
        expect(plain(step.message), `${where}: a message is not changed`).toStrictEqual(before);
      }
      expect(stateOf(session), where).toStrictEqual(expected);
    });
  });
});

test("a snapshot at any point and the rest of the sequence give the same state as the whole sequence", () => {
  for (const { name, steps, initial } of fixtures) {
    if (steps.some((step) => step.op || step.verdict !== "apply")) continue;
    const messages = steps.flatMap((step) => (step.message ? [step.message] : []));
    for (let cut = 1; cut < messages.length; cut += 1) {
      const whole = begun(initial);
      for (const message of messages.slice(0, cut)) whole.handle(message);
      if (!whole.state) continue;
      const resumed = begun(stateOf(whole));
      for (const message of messages.slice(cut)) for (const session of [whole, resumed]) session.handle(message);
      expect(stateOf(resumed), `${name}, cut at ${cut}`).toStrictEqual(stateOf(whole));
    }
  }
});

test("a file that has not changed is the same object in the next status", () => {
  const session = new Session();
  const event = (seq: number, id: string): Message => ({
    event: "file:queued",
    data: {
      pipeline_id: "p", pipeline_type: "t", epoch: "e", seq, timestamp: "2026-01-01T00:00:00.000Z",
      received_at: "2026-01-01T00:00:00.000Z", file: { id, name: id },
    },
  });
  session.handle(event(1, "a"));
  const before = toStatus(session.state!);
  session.handle(event(2, "b"));
  const after = toStatus(session.state!);
  expect(after.files.map(({ id }) => id)).toEqual(["a", "b"]);
  expect(after.files[0]).toBe(before.files[0]);
  expect(before.files).toHaveLength(1);
});
