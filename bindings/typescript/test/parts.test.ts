// The small parts around the driver: who asked for what, who this client is, what it tells of itself, and the store.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { clientId, override } from "../src/client-id.js";
import { Follows } from "../src/follows.js";
import type { ClientStatus, FileStatus } from "../src/generated/index.js";
import type { ConnectionStatus, Update } from "../src/machine/io.js";
import { isSequenceEvent } from "../src/messages.js";
import { report } from "../src/reports.js";
import { Session } from "../src/session/index.js";
import { type PipelineStatusStore, Snapshots, type Vitals } from "../src/store.js";
import { event, snapshot, status } from "./setup.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.unstubAllGlobals();
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe("follows", () => {
  const begin = () => {
    const said: string[] = [];
    const follows = new Follows(["listed"], (ids) => said.push(`+${ids.join()}`), (ids) => said.push(`-${ids.join()}`));
    return { follows, said };
  };

  test("a pipeline is followed until the last one who asked lets go, and five seconds longer", () => {
    const { follows, said } = begin();
    const first = follows.hold(["a", "b"]);
    const second = follows.hold(["a"]);
    first();
    first();
    vi.advanceTimersByTime(5_000);
    expect(said).toEqual(["+a,b", "+a", "-b"]);
    second();
    vi.advanceTimersByTime(4_999);
    expect(said).toHaveLength(3);
    vi.advanceTimersByTime(1);
    expect(said.at(-1)).toBe("-a");
  });

  test("a pipeline of the options stays, whoever lets go of it", () => {
    const { follows, said } = begin();
    follows.hold(["listed"])();
    vi.advanceTimersByTime(60_000);
    expect(said).toEqual(["+listed"]);
  });

  test("who comes back in time finds it as it was; nothing is left after clear", () => {
    const { follows, said } = begin();
    follows.hold(["a"])();
    vi.advanceTimersByTime(4_000);
    const again = follows.hold(["a"]);
    vi.advanceTimersByTime(60_000);
    expect(said).toEqual(["+a", "+a"]);
    again();
    follows.clear();
    expect(vi.getTimerCount()).toBe(0);
    const late = follows.hold(["b"]);
    follows.clear();
    late();
    expect(vi.getTimerCount(), "let go after the end").toBe(0);
  });
});

describe("the client's id", () => {
  const storage = (kept: string | null, more: object = {}) => {
    const setItem = vi.fn();
    vi.stubGlobal("localStorage", { getItem: () => kept, setItem, ...more });
    return setItem;
  };

  test("is made once and kept", () => {
    const setItem = storage(null);
    const id = clientId();
    expect(id.length).toBeGreaterThan(8);
    expect(setItem).toHaveBeenCalledWith("ragpulse.client_id", id);
    storage("kept".repeat(100));
    expect(clientId()).toBe("kept".repeat(16));
  });

  test("is there without a storage, with one that throws, and without crypto", () => {
    expect(clientId()).not.toBe(clientId());
    storage(null, { getItem: () => { throw new Error("SecurityError"); } });
    expect(clientId().length).toBeGreaterThan(8);
    vi.stubGlobal("crypto", undefined);
    expect(clientId()).toMatch(/^\d+$/);
  });

  test.each([["polling", "polling"], ["websocket", "websocket"], ["auto", "auto"], ["pigeon", undefined], ["", undefined]])(
    "the environment says %j: %s", (value, expected) => {
      vi.stubEnv("NEXT_PUBLIC_RAG_STATUS_TRANSPORT", value);
      expect(override()).toBe(expected);
    },
  );

  test("there may be no environment at all", () => {
    vi.stubGlobal("process", undefined);
    expect(override()).toBeUndefined();
  });
});

/** A store that does what the test says. */
class Stage {
  connection: ConnectionStatus = { state: "connecting", cause: null };
  vitals: Vitals = { heardAt: null, latencyMs: null, clockOffsetMs: 0 };
  readonly sent: Omit<ClientStatus, "client_id">[] = [];
  readonly listeners = new Set<() => void>();
  readonly watchers = new Set<(update: Update) => void>();

  constructor() {
    report(this as unknown as PipelineStatusStore, (status) => this.sent.push(status));
  }
  subscribe = (listener: () => void) => (this.listeners.add(listener), () => this.listeners.delete(listener));
  onUpdate = (watcher: (update: Update) => void) => (this.watchers.add(watcher), () => this.watchers.delete(watcher));
  become(state: ConnectionStatus["state"], cause: ConnectionStatus["cause"] = null): void {
    this.connection = { state, cause };
    for (const watcher of [...this.watchers]) watcher({ kind: "connection", status: this.connection });
    this.frame();
  }
  frame(): void {
    for (const listener of [...this.listeners]) listener();
  }
  event(seq: number, ageMs = 40): void {
    const message = event("p", seq);
    if (!isSequenceEvent(message)) throw new Error();
    message.data.received_at = new Date(Date.now() - ageMs).toISOString();
    for (const watcher of [...this.watchers]) watcher({ kind: "event", pipeline: "p", event: message, anomalies: [] });
    this.frame();
  }
}

describe("reports", () => {
  test("tell how it is connected, and when it fell back, why, and for how long", () => {
    const stage = new Stage();
    vi.advanceTimersByTime(30_000);
    expect(stage.sent, "while it is not connected").toEqual([]);
    stage.become("websocket");
    expect(stage.sent.at(-1)).toMatchObject({ status: "active", transport: "websocket" });
    expect(stage.sent.at(-1)).not.toHaveProperty("fallback_cause");
    stage.become("polling", { kind: "silence", afterMs: 3_000 });
    expect(stage.sent.at(-1)).toMatchObject({ transport: "polling", fallback_cause: "silence" });
    vi.advanceTimersByTime(12_000);
    stage.become("waiting", { kind: "failed", message: "x" });
    stage.become("polling", { kind: "failed", message: "x" });
    expect(stage.sent).toHaveLength(2);
    vi.advanceTimersByTime(3_000);
    stage.vitals = { heardAt: 1, latencyMs: 12.4, clockOffsetMs: 0 };
    stage.become("websocket");
    // Why was told when it began, and is counted each time it is told.
    expect(stage.sent.at(-1)).not.toHaveProperty("fallback_cause");
    expect(stage.sent.at(-1)).toMatchObject({ transport: "websocket", fallback_dwell_ms: 15_000, latency_ms: 12 });
  });

  test("what was missed and is caught up with is not taken for live", () => {
    const stage = new Stage();
    const frames: (() => void)[] = [];
    vi.stubGlobal("requestAnimationFrame", (callback: () => void) => frames.push(callback));
    vi.setSystemTime(100_000);
    stage.become("websocket");
    const happen = (seq: number, ageMs: number): void => {
      stage.event(seq, ageMs);
      frames.splice(0).forEach((frame) => frame());
      vi.advanceTimersByTime(1);
    };
    happen(1, 60_000);
    vi.advanceTimersByTime(30_000);
    expect(stage.sent.at(-1)).not.toHaveProperty("paint_latency_ms");
    happen(2, 20);
    vi.advanceTimersByTime(30_000);
    expect(stage.sent.at(-1)?.paint_latency_ms).toBeGreaterThanOrEqual(20);
    expect(stage.sent.at(-1)?.paint_latency_ms).toBeLessThan(1_000);
  });

  test("come every half minute, and end with the store", () => {
    const stage = new Stage();
    stage.become("websocket");
    vi.advanceTimersByTime(90_000);
    expect(stage.sent).toHaveLength(4);
    stage.become("closed", { kind: "rejected", code: "unauthorized", message: "no" });
    vi.advanceTimersByTime(60_000);
    expect(stage.sent, "nothing while the hub refuses").toHaveLength(4);
    stage.become("websocket");
    expect(stage.sent).toHaveLength(5);
    stage.become("closed", { kind: "closed" });
    expect([vi.getTimerCount(), stage.listeners.size, stage.watchers.size]).toEqual([0, 0, 0]);
  });

  test("say how long an event took until it was painted, of one by chance, and only while somebody can see it", () => {
    const page = Object.assign(new EventTarget(), { visibilityState: "visible", hasFocus: () => false });
    vi.stubGlobal("document", page);
    vi.stubGlobal("requestAnimationFrame", (callback: () => void) => setTimeout(callback, 16));
    const stage = new Stage();
    stage.become("websocket");
    stage.vitals = { heardAt: 1, latencyMs: 1, clockOffsetMs: 10 };
    for (let seq = 1; seq <= 5; seq += 1) {
      stage.event(seq);
      vi.advanceTimersByTime(100);
    }
    vi.advanceTimersByTime(30_000);
    const paint = stage.sent.at(-1)!.paint_latency_ms!;
    expect(stage.sent.at(-1)?.status).toBe("idle");
    // Forty before it came, ten by the clock, and a frame.
    expect(paint).toBeGreaterThanOrEqual(50);
    expect(paint).toBeLessThan(100);
    page.visibilityState = "hidden";
    page.dispatchEvent(new Event("visibilitychange"));
    expect(stage.sent.at(-1)?.status).toBe("background");
    stage.event(6);
    vi.advanceTimersByTime(30_000);
    expect(stage.sent.at(-1)).not.toHaveProperty("paint_latency_ms");
  });

  test("say nothing of a file or a message", () => {
    const stage = new Stage();
    stage.become("polling", { kind: "refused", message: "http://internal.example said no" });
    expect(JSON.stringify(stage.sent)).not.toContain("internal");
    expect(Object.keys(stage.sent[0]!).sort()).toEqual(["fallback_cause", "status", "timestamp", "transport"]);
  });
});

describe("the store", () => {
  const begin = () => {
    const sessions = new Map<string, Session>();
    const snapshots = new Snapshots({ state: (id) => sessions.get(id)?.state ?? null, pipelines: () => [...sessions.keys()] });
    const take = (message: ReturnType<typeof event>): void => {
      const { pipeline_id: id } = message.data as { pipeline_id: string };
      if (!sessions.has(id)) sessions.set(id, new Session());
      sessions.get(id)!.handle(message);
      snapshots.take({ kind: "snapshot", pipeline: id, reason: null });
    };
    return { sessions, snapshots, take };
  };

  test("the list of pipelines is sorted, and the same array until it changes", () => {
    const { snapshots, take, sessions } = begin();
    take(snapshot("b", 1));
    snapshots.flush();
    const before = snapshots.pipelines;
    take(event("b", 2));
    snapshots.flush();
    expect(snapshots.pipelines).toBe(before);
    take(snapshot("a", 1));
    expect(snapshots.pipelines, "not before listeners are told").toBe(before);
    snapshots.flush();
    expect(snapshots.pipelines).toEqual(["a", "b"]);
    sessions.delete("b");
    snapshots.take({ kind: "removed", pipeline: "b" });
    snapshots.flush();
    expect([snapshots.pipelines, snapshots.get("b")]).toEqual([["a"], null]);
  });

  test("a file is the same object until it changes, whatever happens to others", () => {
    const { snapshots, take } = begin();
    const files: FileStatus[] = ["x", "y"].map((id, index) => ({ id, name: id, state: "processing", seq: index + 1, attempt: 1 }));
    take(snapshot("p", 2, { files }));
    snapshots.flush();
    const [x, y] = ["x", "y"].map((id) => snapshots.file("p", id));
    const { data } = event("p", 3);
    take({ event: "file:progress", data: { ...data, file: { id: "y", name: "y" }, progress: 0.5 } });
    snapshots.flush();
    expect(snapshots.file("p", "x")).toBe(x);
    expect(snapshots.file("p", "y")).not.toBe(y);
    expect([snapshots.file("p", "y")?.progress, y?.progress]).toEqual([0.5, undefined]);
    expect([snapshots.file("p", "none"), snapshots.file("none", "x")]).toEqual([null, null]);
  });

  test("vitals are as of the last notification, and the clock's offset stays until it is told anew", () => {
    const { snapshots } = begin();
    const told = vi.fn();
    snapshots.subscribe(told);
    vi.setSystemTime(1_000);
    snapshots.heard(20, 6_000);
    expect(snapshots.vitals.heardAt).toBe(null);
    vi.advanceTimersByTime(10);
    expect([snapshots.vitals, told.mock.calls.length]).toEqual([{ heardAt: 1_000, latencyMs: 20, clockOffsetMs: 5_010 }, 1]);
    snapshots.heard(null, null);
    vi.advanceTimersByTime(1_000);
    expect(told, "or what is shown would age although the hub answers").toHaveBeenCalledTimes(2);
    expect(snapshots.vitals).toMatchObject({ heardAt: 1_010, latencyMs: 20 });
    snapshots.heard(7, null);
    snapshots.flush();
    expect(snapshots.vitals).toMatchObject({ latencyMs: 7, clockOffsetMs: 5_010 });
  });

  test("a listener that fails keeps none of the others from being told", () => {
    const { snapshots, take } = begin();
    const failed = vi.fn();
    vi.stubGlobal("queueMicrotask", (callback: () => void) => { try { callback(); } catch (error) { failed(error); } });
    const told = vi.fn();
    snapshots.subscribe(() => { throw new Error("mine"); });
    const end = snapshots.subscribe(told);
    snapshots.watch(() => { throw new Error("mine too"); });
    take({ event: "pipeline:status", data: status("p", 1) });
    snapshots.flush();
    expect([told.mock.calls.length, failed.mock.calls.length]).toEqual([1, 2]);
    end();
    take(event("p", 2));
    snapshots.flush();
    expect(told).toHaveBeenCalledTimes(1);
  });
});
