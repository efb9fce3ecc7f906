// What the hub refuses, and what a fresh token leads to: a store that is tried anew goes on where it stood, with nothing
// lost or doubled, and asks for what had ended.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { createPipelineStatusStore } from "../src/index.js";
import { socketRules } from "../src/machine/index.js";
import type { SocketLike } from "../src/socketio.js";
import { Bench, event, snapshot, status } from "./setup.js";

const told = (bench: Bench) => bench.updates.map((update) => ("pipeline" in update ? `${update.kind} ${update.pipeline}` : update.status.state));
const ended = (id: string, code: "forbidden" | "unauthorized") => ({ event: "subscription:ended", data: { pipeline_id: id, code } }) as const;

describe("the machine", () => {
  test("goes on from its cursor when it is begun anew after a refusal", () => {
    const bench = new Bench({ pipelines: [], scope: { all: true } }).live();
    bench.receive(snapshot("a", 5));
    bench.receive(ended("a", "unauthorized"));
    // The token has ended, not the pipeline: what is known stays, and the next socket tells whether there is another token.
    expect([bench.machine.phase, bench.cursor("a")]).toEqual(["waiting", { epoch: "e", seq: 5 }]);
    bench.pass(2_000);
    bench.give({ type: "socket_refused", conn: bench.conn, code: "unauthorized", message: "it has expired", retryable: false });
    expect(bench.machine.status).toEqual({ state: "closed", cause: { kind: "rejected", code: "unauthorized", message: "it has expired" } });
    expect([bench.machine.deadline, bench.cursor("a")]).toEqual([null, { epoch: "e", seq: 5 }]);
    for (const type of ["hurry", "online", "visible", "tick"] as const) expect(bench.give({ type }), type).toEqual([]);
    expect(bench.give({ type: "start" }).map(({ type }) => type)).toContain("open_socket");
    expect(bench.machine.status).toEqual({ state: "connecting", cause: null });
    bench.give({ type: "socket_opened", conn: bench.conn, rules: socketRules });
    expect(bench.last("subscribe").request).toMatchObject({ all: true, cursors: { a: { epoch: "e", seq: 5 } } });
    bench.receive(event("a", 6));
    bench.acknowledge([{ pipeline_id: "a", recovered: true, replayed: 1 }]);
    expect([bench.machine.status.state, bench.cursor("a")]).toEqual(["websocket", { epoch: "e", seq: 6 }]);
    expect(told(bench)).toEqual(["websocket", "snapshot a", "waiting", "connecting", "closed", "connecting", "event a", "websocket"]);
  });

  test("polls anew after a refusal where it polls", () => {
    const bench = new Bench({ transport: "polling" });
    bench.give({ type: "start" });
    bench.answer("p", [snapshot("p", 3)]);
    bench.pass(1_000);
    bench.give({ type: "poll_failed", poll: bench.last("poll").poll, pipeline: "p", code: "unauthorized", message: "no", retryAfterMs: null });
    expect(bench.machine.status.state).toBe("closed");
    bench.give({ type: "start" });
    expect(bench.last("poll").cursor).toEqual({ epoch: "e", seq: 3 });
    bench.answer("p", [event("p", 4)]);
    expect([bench.machine.status, bench.cursor("p")]).toEqual([{ state: "polling", cause: { kind: "chosen" } }, { epoch: "e", seq: 4 }]);
  });

  test("asks again for what had ended, and is closed again where that is refused again", () => {
    const bench = new Bench({ pipelines: ["a", "b"] }).live();
    for (const id of ["a", "b"]) bench.receive(ended(id, "forbidden"));
    expect(bench.machine.status).toMatchObject({ state: "closed", cause: { kind: "rejected", code: "forbidden" } });
    bench.give({ type: "start" });
    bench.give({ type: "socket_opened", conn: bench.conn, rules: socketRules });
    expect(bench.last("subscribe").request.pipeline_ids).toEqual(["a", "b"]);
    for (let n = 0; n < 3; n += 1) bench.refuse("forbidden");
    expect([bench.machine.phase, bench.machine.pipelines]).toEqual(["closed", []]);
  });

  test("a fresh token that was taken brings back what had ended by name, and what the scope covers now", () => {
    const named = new Bench({ pipelines: ["a", "b"] }).live();
    named.receive(ended("b", "forbidden"));
    const before = named.all("subscribe").length;
    named.give({ type: "renewed", conn: named.conn });
    expect(named.last("subscribe").request.pipeline_ids).toEqual(["b"]);
    named.acknowledge();
    named.give({ type: "renewed", conn: named.conn });
    expect(named.all("subscribe"), "once").toHaveLength(before + 1);

    const scope = new Bench({ pipelines: [], scope: { all: true } }).live();
    scope.receive(snapshot("a", 5));
    scope.give({ type: "renewed", conn: scope.conn });
    expect(scope.last("subscribe").request).toMatchObject({ all: true, pipeline_ids: [], cursors: { a: { epoch: "e", seq: 5 } } });
    scope.acknowledge([{ pipeline_id: "a", recovered: true, replayed: 0 }]);
    expect([scope.machine.phase, scope.machine.pipelines]).toEqual(["live", ["a"]]);
  });

  test("when somebody asks for it, also what had ended is tried; not once it is let go", () => {
    const bench = new Bench({ pipelines: [], transport: "polling" });
    bench.give({ type: "start" });
    bench.give({ type: "follow", pipelines: ["p"] });
    const refuse = () => bench.give({ type: "poll_failed", poll: bench.last("poll").poll, pipeline: "p", code: "forbidden", message: "no", retryAfterMs: null });
    refuse();
    bench.give({ type: "online" });
    expect(bench.polls("p")).toHaveLength(1);
    bench.give({ type: "hurry" });
    expect(bench.polls("p")).toHaveLength(2);
    refuse();
    bench.give({ type: "unfollow", pipelines: ["p"] });
    bench.give({ type: "hurry" });
    expect([bench.polls("p").length, bench.machine.pipelines]).toEqual([2, []]);
  });

  test("closed for good after a refusal, it stays so", () => {
    const bench = new Bench().open();
    bench.refuse("unauthorized");
    bench.give({ type: "stop" });
    expect(bench.machine.status).toEqual({ state: "closed", cause: { kind: "closed" } });
    expect(bench.give({ type: "start" })).toEqual([]);
    expect(bench.machine.phase).toBe("closed");
  });
});

/** A hub that takes one token, by sockets and by HTTP, and has one pipeline. */
class Door {
  wanted = "good";
  opened = 0;
  readonly shown: (string | null)[] = [];
  readonly requests: (string | null)[] = [];
  seq = 3;

  readonly io = (_: string, { auth }: { readonly auth: Record<string, unknown> }): SocketLike => {
    const listeners = new Map<string, (argument: never) => void>();
    let any: (event: string, data: unknown) => void = () => {};
    const token = (auth["token"] as string | undefined) ?? null;
    this.opened += 1;
    this.shown.push(token);
    const socket = {
      active: false,
      on: (name: string, listener: (argument: never) => void) => listeners.set(name, listener),
      onAny: (listener: typeof any) => (any = listener),
      emit: (name: string, request: { cursors?: unknown }, ack: (reply: unknown) => void) => queueMicrotask(() => {
        if (name === "subscribe" && !request.cursors) any("pipeline:status", status("p", this.seq));
        ack(name === "subscribe" ? { pipelines: [{ pipeline_id: "p", recovered: true, replayed: 0 }] } : name === "ping" ? 1 : {});
      }),
      disconnect: () => {},
    };
    queueMicrotask(() => {
      if (token === this.wanted) (listeners.get("connect") as (() => void) | undefined)?.();
      else listeners.get("connect_error")?.(new Error("unauthorized: This token is refused: it has expired.") as never);
    });
    return socket;
  };

  readonly fetch = async (url: string, { headers }: RequestInit): Promise<Response> => {
    const { pathname } = new URL(url);
    if (pathname === "/api/socket/info") return Response.json({});
    const authorization = (headers as Record<string, string>)["authorization"] ?? null;
    this.requests.push(authorization);
    if (authorization !== `Bearer ${this.wanted}`) return Response.json({ code: "unauthorized", detail: "it has expired" }, { status: 401 });
    return Response.json({ epoch: "e", seq: this.seq, snapshot: status("p", this.seq) });
  };
}

describe("the store", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });
  const settle = async (ms = 0): Promise<void> => {
    await vi.advanceTimersByTimeAsync(ms);
    await vi.dynamicImportSettled();
    await vi.advanceTimersByTimeAsync(0);
  };

  test.each(["refreshToken", "retry"] as const)("that the hub has refused opens anew by %s, with the token as it is then", async (how) => {
    const door = new Door();
    let token: string | null = null;
    const store = createPipelineStatusStore({ url: "http://hub.test", pipelines: ["p"], reports: false, token: async () => token, io: door.io, fetch: door.fetch });
    store[how]();
    await settle(5_000);
    expect([store.connection.state, door.opened], "not before it is to connect").toEqual(["connecting", 0]);
    store.connect();
    await settle(300);
    const refused = { state: "closed", cause: { kind: "rejected", code: "unauthorized", message: "This token is refused: it has expired." } };
    expect(store.connection).toEqual(refused);
    token = "bad";
    store[how]();
    await settle(300);
    expect(store.connection).toEqual(refused);
    token = "good";
    store[how]();
    await settle(300);
    expect([store.connection, store.getSnapshot("p")?.seq]).toEqual([{ state: "websocket", cause: null }, 3]);
    expect(door.shown).toEqual([null, "bad", "good"]);
    store.close();
    store[how]();
    await settle(60_000);
    expect([store.connection.state, door.opened, vi.getTimerCount()]).toEqual(["closed", 3, 0]);
  });

  test("closed after a refusal, it cannot be opened again", async () => {
    const door = new Door();
    const store = createPipelineStatusStore({ url: "http://hub.test", pipelines: ["p"], reports: false, token: "bad", io: door.io, fetch: door.fetch });
    store.connect();
    await settle(300);
    store.close();
    expect(store.connection).toEqual({ state: "closed", cause: { kind: "closed" } });
    store.refreshToken();
    await settle(60_000);
    expect([door.opened, vi.getTimerCount()]).toEqual([1, 0]);
  });

  test("that polls asks once more where there is a fresh token by then, and is refused where there is none", async () => {
    const door = new Door();
    const tokens = ["old", "good", "good", "bad"];
    let asked = 0;
    const token = (): string => tokens[Math.min(asked++, tokens.length - 1)]!;
    const store = createPipelineStatusStore({ url: "http://hub.test", pipelines: ["p"], reports: false, transport: "polling", polling: "interval", token, fetch: door.fetch });
    store.connect();
    await settle(300);
    expect([store.connection.state, door.requests]).toEqual(["polling", ["Bearer old", "Bearer good"]]);
    await settle(30_000);
    expect(door.requests.slice(2, 5)).toEqual(["Bearer good", "Bearer bad"]);
    expect(store.connection).toMatchObject({ state: "closed", cause: { code: "unauthorized", message: "it has expired" } });
    store.close();
  });
});
