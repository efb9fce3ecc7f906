import type { PipelineStatus, PipelineStatusStore, Update } from "@ragpulse/client";
import { expect, test, vi } from "vitest";
import { Activity } from "../src/lib/activity.js";
import { niceCeiling } from "../src/parts/plot.js";

const NOW = Date.parse("2026-01-01T00:10:00.000Z");
const at = (seconds: number): string => new Date(NOW - seconds * 1_000).toISOString();

function fakeStore(snapshot: Pick<PipelineStatus, "files" | "limits"> | null) {
  let onUpdate: (update: Update) => void = () => {};
  let onFrame = (): void => {};
  const parts = {
    connection: { state: "connecting", cause: null },
    vitals: { heardAt: null, latencyMs: 1, clockOffsetMs: 0 },
    getSnapshot: () => snapshot,
    onUpdate: (listener: typeof onUpdate) => { onUpdate = listener; return () => { onUpdate = () => {}; }; },
    subscribe: (listener: () => void) => { onFrame = listener; return () => { onFrame = () => {}; }; },
  };
  const event = (name: string, receivedAt: string): Update => ({
    kind: "event", pipeline: "p", anomalies: [],
    event: { event: name, data: { received_at: receivedAt } as never },
  });
  return { store: parts as unknown as PipelineStatusStore, parts, event, update: (update: Update) => onUpdate(update), frame: () => onFrame() };
}

test("ends count when the hub heard of them, events when they came, and a replay is no latency", () => {
  vi.useFakeTimers({ now: NOW });
  const { store, event, update } = fakeStore(null);
  const activity = new Activity(store);
  const stop = activity.watch();
  update(event("file:completed", at(120)));
  vi.setSystemTime(NOW - 1_000);
  update({ kind: "connection", status: { state: "websocket", cause: null } });
  vi.setSystemTime(NOW);
  update(event("file:failed", at(0.03)));
  update(event("file:progress", at(0.01)));
  const { ended, failed, events, latency } = activity.of("p");
  expect([ended.sum(NOW + 1_000, 60), ended.sum(NOW + 1_000, 200), failed.sum(NOW + 1_000, 60), events.sum(NOW + 1_000, 60)]).toEqual([1, 2, 1, 3]);
  expect(latency.quantile(NOW, 60, 1)).toBeCloseTo(30, 5);
  stop();
  update(event("file:completed", at(0)));
  expect(activity.of("p").events.sum(NOW + 1_000, 60)).toBe(3);
  vi.useRealTimers();
});

test("what the hub had before the socket stood is no latency, nor is what polls bring, whatever the clocks say", () => {
  vi.useFakeTimers({ now: NOW });
  const { store, parts, event, update } = fakeStore(null);
  // The hub's clock is five seconds ahead.
  parts.vitals.clockOffsetMs = 5_000;
  const hubAt = (millis: number): string => new Date(Date.now() + 5_000 - millis).toISOString();
  const activity = new Activity(store);
  activity.watch();
  const { latency } = activity.of("p");
  const connection = (state: "websocket" | "polling" | "waiting") => update({ kind: "connection", status: { state, cause: null } });
  const worst = (): number | null => latency.quantile(activity.now(), 300, 1);
  connection("polling");
  update(event("file:progress", hubAt(900)));
  expect(worst()).toBeNull();
  connection("websocket");
  update(event("file:progress", hubAt(4)));
  expect(worst()).toBeNull();
  vi.setSystemTime(NOW + 1_000);
  update(event("file:progress", hubAt(20)));
  expect(worst()).toBeCloseTo(20, 5);
  // An outage of a minute, and all of it is sent after the socket stands again.
  connection("waiting");
  vi.setSystemTime(NOW + 61_000);
  connection("websocket");
  for (let millis = 60_000; millis > 0; millis -= 1_000) update(event("file:progress", hubAt(millis)));
  expect(worst()).toBeCloseTo(20, 5);
  vi.setSystemTime(NOW + 62_000);
  update(event("file:progress", hubAt(35)));
  expect(worst()).toBeCloseTo(35, 5);
  vi.useRealTimers();
});

test("a snapshot takes the place of what was counted, and says how far back all ends are known", () => {
  vi.useFakeTimers({ now: NOW });
  const file = (id: string, state: "completed" | "failed", seconds: number) => ({ id, name: id, state, seq: 1, attempt: 1, completed_at: at(seconds) });
  const { store, event, update, frame } = fakeStore({ files: [file("a", "completed", 50), file("b", "failed", 20)], limits: { open: 10, ended: 2 } });
  const activity = new Activity(store);
  activity.watch();
  update(event("file:completed", at(30)));
  update({ kind: "snapshot", pipeline: "p", reason: null });
  frame();
  const { ended, failed, endsSince } = activity.of("p");
  expect([ended.sum(NOW, 60), failed.sum(NOW, 60), endsSince]).toEqual([2, 1, NOW - 50_000]);
  update({ kind: "removed", pipeline: "p" });
  expect(activity.of("p").ended.sum(NOW, 60)).toBe(0);
  vi.useRealTimers();
});

test("the scale of a plot goes by few steps", () => {
  expect([0, 3, 1, 1.2, 7, 49, 61, 100].map(niceCeiling)).toEqual([1, 3, 1, 1.5, 8, 60, 80, 100]);
});
