// Snapshots and frames: told at most once a frame, also where no frames are drawn.
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { Update } from "../src/machine/io.js";
import { Session, type Message } from "../src/session/index.js";
import { Snapshots } from "../src/store.js";

const at = "2026-01-01T00:00:00.000Z";
const event = (seq: number): Message => ({
  event: "x:step",
  data: { pipeline_id: "p", pipeline_type: "t", epoch: "e", seq, timestamp: at, received_at: at },
});
const of = (state: () => Session["state"]) => ({ state, pipelines: () => ["p"] });
const told: Update = { kind: "reset", pipeline: "p" };

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function page(): { frames: Map<number, () => void>; draw: () => void } {
  const frames = new Map<number, () => void>();
  let last = 0;
  vi.stubGlobal("requestAnimationFrame", (callback: () => void) => (frames.set((last += 1), callback), last));
  vi.stubGlobal("cancelAnimationFrame", (id: number) => frames.delete(id));
  return { frames, draw: () => [...frames.values()].forEach((callback) => callback()) };
}

test("a snapshot stays the same object until listeners are told of the next", () => {
  const session = new Session();
  const snapshots = new Snapshots(of(() => session.state));
  const seen: (number | undefined)[] = [];
  const stop = snapshots.subscribe(() => seen.push(snapshots.get("p")?.seq));
  expect(snapshots.get("p")).toBe(null);
  for (let seq = 1; seq <= 5; seq += 1) {
    session.handle(event(seq));
    snapshots.take(told);
  }
  expect(snapshots.get("p")).toBe(null);
  vi.runAllTimers();
  expect(seen).toEqual([5]);
  const before = snapshots.get("p");
  session.handle(event(6));
  snapshots.take(told);
  expect(snapshots.get("p")).toBe(before);
  vi.runAllTimers();
  expect([seen, before?.seq]).toEqual([[5, 6], 5]);
  stop();
  snapshots.take(told);
  vi.runAllTimers();
  expect(seen).toEqual([5, 6]);
});

test("a pipeline that comes is shown and listed by the same frame", () => {
  const session = new Session();
  const pipelines: string[] = [];
  const snapshots = new Snapshots({ state: () => session.state, pipelines: () => [...pipelines] });
  session.handle(event(1));
  pipelines.push("p");
  snapshots.take(told);
  expect([snapshots.get("p"), snapshots.pipelines]).toEqual([null, []]);
  vi.runAllTimers();
  expect([snapshots.get("p")?.seq, snapshots.pipelines]).toEqual([1, ["p"]]);
});

test("a page is told once a frame, and by a timer when it draws none", () => {
  const { frames, draw } = page();
  const snapshots = new Snapshots(of(() => null));
  let calls = 0;
  snapshots.subscribe(() => (calls += 1));
  for (let update = 0; update < 100; update += 1) snapshots.take(told);
  expect([frames.size, calls]).toEqual([1, 0]);
  draw();
  expect([calls, vi.getTimerCount()]).toEqual([1, 0]);
  snapshots.take(told);
  vi.advanceTimersByTime(250);
  expect(calls).toBe(2);
  expect(vi.getTimerCount()).toBe(0);
});

test("one listener's failure keeps no other from being told", async () => {
  const failures: unknown[] = [];
  vi.stubGlobal("queueMicrotask", (callback: () => void) => {
    try {
      callback();
    } catch (error) {
      failures.push(error);
    }
  });
  const snapshots = new Snapshots(of(() => null));
  let calls = 0;
  const fail = (): void => {
    throw new Error("mine");
  };
  snapshots.subscribe(fail);
  snapshots.watch(fail);
  snapshots.subscribe(() => (calls += 1));
  snapshots.watch(() => (calls += 1));
  snapshots.take(told);
  vi.runAllTimers();
  expect([calls, failures.length]).toEqual([2, 2]);
});
