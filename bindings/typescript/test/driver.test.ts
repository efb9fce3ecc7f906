// The driver with a clock of the test's: timers that come late, a page that hides and loses its network, sockets that are
// loaded too late, and nothing left when it is closed.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";


import { connectPipelineStatus, createPipelineStatusStore, type ConnectOptions } from "../src/index.js";
import { Driver } from "../src/driver.js";
import { Endpoint } from "../src/endpoint.js";
import { Machine } from "../src/machine/index.js";
import type { SocketLike } from "../src/socketio.js";
import { event, status } from "./setup.js";

/** A socket of a hub that answers everything, until it does not. */
class FakeSocket implements SocketLike {
  static all: FakeSocket[] = [];
  readonly active = true;
  readonly sent: [event: string, payload: unknown][] = [];
  isOpen = true;
  isMute = false;
  reply: unknown = { pipelines: [] };
  readonly #listeners = new Map<string, (argument: never) => void>();
  #any: (event: string, data: unknown) => void = () => {};

  constructor(readonly url: string, readonly options: unknown) {
    FakeSocket.all.push(this);
    queueMicrotask(() => this.fire("connect"));
  }
  on(name: string, listener: (argument: never) => void): void {
    this.#listeners.set(name, listener);
  }
  onAny(listener: (event: string, data: unknown) => void): void {
    this.#any = listener;
  }
  fire(name: string, argument?: unknown): void {
    this.#listeners.get(name)?.(argument as never);
  }
  receive(name: string, data: unknown): void {
    this.#any(name, data);
  }
  emit(name: string, payload: unknown, ack: (reply: unknown) => void): void {
    this.sent.push([name, payload]);
    if (!this.isMute) queueMicrotask(() => ack(name === "subscribe" ? this.reply : name === "ping" ? 1_000_000 : {}));
  }
  disconnect(): void {
    this.isOpen = false;
  }
  static get last(): FakeSocket {
    return FakeSocket.all.at(-1)!;
  }
}
const io = (url: string, options: unknown): SocketLike => new FakeSocket(url, options);

const json = (body: unknown, init: ResponseInit = {}): Response => new Response(JSON.stringify(body), init);
/** A hub by HTTP, and who asked it what. */
function fakeHub(answer: (path: string) => Response | Promise<Response> = () => json({ transport: "auto" })) {
  const asked: { path: string; headers: Record<string, string>; signal: AbortSignal }[] = [];
  const fetch = async (url: string, init: RequestInit): Promise<Response> => {
    const { pathname, search } = new URL(url);
    asked.push({ path: pathname + search, headers: init.headers as Record<string, string>, signal: init.signal! });
    return answer(pathname + search);
  };
  return { asked, fetch };
}

/** As much of a page as the client looks at. */
class Page extends EventTarget {
  visibilityState: "visible" | "hidden" = "visible";
  hasFocus = (): boolean => true;
  readonly counts = new Map<EventTarget, number>();
  show(state: "visible" | "hidden"): void {
    this.visibilityState = state;
    this.dispatchEvent(new Event("visibilitychange"));
  }
}
const globals = new EventTarget();
let page: Page | null = null;
function openPage({ onLine = true } = {}): Page {
  page = new Page();
  vi.stubGlobal("document", page);
  vi.stubGlobal("navigator", { onLine });
  vi.stubGlobal("addEventListener", globals.addEventListener.bind(globals));
  vi.stubGlobal("removeEventListener", globals.removeEventListener.bind(globals));
  return page;
}

beforeEach(() => {
  vi.useFakeTimers();
  // Delays are spread by chance; here each is as long as it can be, so that what is tried again comes when a test asks for it.
  vi.spyOn(Math, "random").mockReturnValue(1 - Number.EPSILON);
  FakeSocket.all = [];
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const settle = async (ms = 0): Promise<void> => {
  await vi.advanceTimersByTimeAsync(ms);
  await vi.dynamicImportSettled();
  await vi.advanceTimersByTimeAsync(0);
};
const connect = (more: Partial<ConnectOptions> = {}) => {
  const hub = fakeHub();
  const store = connectPipelineStatus({ url: "http://hub.test/base/", pipelines: ["p"], io, fetch: hub.fetch, reports: false, clientId: "c", ...more });
  return { store, hub };
};

describe("a socket", () => {
  test("is opened after the hub was asked, subscribed and pinged, and everything ends with close", async () => {
    const { store, hub } = connect({ token: async () => "secret" });
    await settle();
    const socket = FakeSocket.last;
    expect(hub.asked.map(({ path, headers }) => [path, headers["authorization"]])).toEqual([["/base/api/socket/info", "Bearer secret"]]);
    expect([socket.url, socket.options]).toEqual(["http://hub.test", {
      path: "/base/socket.io/", transports: ["websocket"], auth: { token: "secret" }, reconnection: false, forceNew: true, timeout: 5_000,
    }]);
    expect(socket.sent.map(([name]) => name)).toEqual(["subscribe", "ping"]);
    socket.receive("pipeline:status", status("p", 3));
    socket.receive("x:step", event("p", 4).data);
    socket.receive("of a later version", { a: 1 });
    await settle(1_000);
    expect([store.connection.state, store.getSnapshot("p")?.seq]).toEqual(["websocket", 4]);
    expect(store.vitals.latencyMs).toBe(0);
    expect(store.vitals.clockOffsetMs).toBe(1_000_000 - Date.now() + 1_000);
    store.close();
    expect([socket.isOpen, vi.getTimerCount(), store.connection.state]).toEqual([false, 0, "closed"]);
    socket.receive("x:step", event("p", 5).data);
    socket.fire("disconnect", "io client disconnect");
    expect(store.getSnapshot("p")?.seq).toBe(4);
  });

  test("that answers no ping is given up after three seconds, and polls bring the data", async () => {
    const hub = fakeHub((path) => (path.includes("/events") ? json({ epoch: "e", seq: 9, snapshot: status("p", 9) }) : json({})));
    const { store } = connect({ fetch: hub.fetch });
    await settle();
    FakeSocket.last.isMute = true;
    await settle(5_000);
    expect(store.connection.state).toBe("websocket");
    await settle(3_000);
    expect([FakeSocket.all[0]!.isOpen, hub.asked.some(({ path }) => path.includes("/events?wait=0"))]).toEqual([false, true]);
    await settle(500);
    expect(store.connection).toEqual({ state: "polling", cause: { kind: "silence", afterMs: 3_000 } });
    expect(store.getSnapshot("p")?.seq).toBe(9);
    store.close();
  });

  test("that the hub refuses says why; one that breaks is opened again", async () => {
    const { store } = connect();
    await settle();
    const socket = FakeSocket.last;
    Object.assign(socket, { active: false });
    socket.fire("connect_error", new Error("unauthorized: no such token"));
    await settle(300);
    expect(store.connection).toEqual({ state: "closed", cause: { kind: "rejected", code: "unauthorized", message: "unauthorized: no such token" } });
    const other = connect().store;
    await settle();
    FakeSocket.last.fire("connect_error", new Error("websocket error"));
    await settle(2_000);
    expect(FakeSocket.all).toHaveLength(3);
    other.close();
  });

  test("whose answer to subscribe cannot be read is lost", async () => {
    const { store } = connect({ io: (url, options) => Object.assign(new FakeSocket(url, options), { reply: { pipelines: [7] } }) });
    await settle(250);
    expect(store.connection.cause).toMatchObject({ kind: "failed", message: "the hub's answer to subscribe cannot be read" });
    store.close();
  });

  test("whose library cannot be opened is lost, and one without a library is refused", async () => {
    const { store } = connect({ io: () => { throw new Error("bad address"); } });
    await settle();
    await settle(250);
    expect(store.connection.cause).toEqual({ kind: "failed", message: "bad address" });
    store.close();
  });

  test("whose token comes after the end is never opened", async () => {
    let give = (_: string): void => {};
    let asked = 0;
    const { store } = connect({ token: () => ((asked += 1) === 1 ? "first" : new Promise<string>((resolve) => (give = resolve))) });
    await settle();
    expect([asked, FakeSocket.all]).toEqual([2, []]);
    store.close();
    give("second");
    await settle(10_000);
    expect([FakeSocket.all, vi.getTimerCount()]).toEqual([[], 0]);
  });

  test("gets a fresh token, and is given up where it is not taken", async () => {
    let token: string | Error = "one";
    const { store } = connect({ token: () => { if (token instanceof Error) throw token; return token; } });
    await settle();
    const socket = FakeSocket.last;
    token = "two";
    store.refreshToken();
    await settle();
    expect(socket.sent.at(-1)).toEqual(["auth:refresh", { token: "two" }]);
    token = new Error("signed out");
    store.refreshToken();
    await settle(250);
    expect([socket.isOpen, store.connection.cause]).toEqual([false, { kind: "failed", message: "there is no token: signed out" }]);
    store.close();
  });

  test("is told what is followed later and no more", async () => {
    const { store } = connect();
    await settle();
    const release = store.follow(["q"]);
    await settle();
    expect(FakeSocket.last.sent.at(-1)).toMatchObject(["subscribe", { pipeline_ids: ["q"] }]);
    release();
    await settle(5_000);
    expect(FakeSocket.last.sent).toContainEqual(["unsubscribe", { pipeline_ids: ["q"] }]);
    expect(store.pipelines).toEqual(["p"]);
    expect(() => store.follow(["not an id"])).toThrow(TypeError);
    store.close();
  });
});

describe("time", () => {
  test("a timer that comes late finds no silence: the machine slept", async () => {
    const { store } = connect();
    await settle();
    const socket = FakeSocket.last;
    socket.isMute = true;
    await settle(5_000);
    expect(socket.sent.at(-1)?.[0]).toBe("ping");
    // While it slept no timer came, and the clock went on.
    const now = performance.now() + 3_600_000;
    vi.spyOn(performance, "now").mockImplementation(() => now);
    await vi.advanceTimersByTimeAsync(3_000);
    expect([socket.isOpen, store.connection.state]).toEqual([true, "websocket"]);
    vi.restoreAllMocks();
    store.close();
  });

  test("of a wait longer than a timer can be is waited for all the same", () => {
    const machine = new Machine({ pipelines: ["p"], transport: "auto", part: 0, chance: () => 0, userAgent: "test" });
    vi.spyOn(machine, "deadline", "get").mockReturnValue(1e12);
    const timer = vi.spyOn(globalThis, "setTimeout");
    new Driver({ machine, endpoint: new Endpoint("http://hub.test", undefined), onUpdate: () => {}, onHeard: () => {} }).give({ type: "hidden" });
    expect(timer.mock.lastCall?.[1]).toBe(2_147_483_647);
  });
});

describe("a page", () => {
  test("that hides pings less often, and is looked after again when it shows", async () => {
    const shown = openPage();
    const { store } = connect();
    await settle();
    shown.show("hidden");
    await settle(5_000);
    const pings = (): number => FakeSocket.last.sent.filter(([name]) => name === "ping").length;
    const before = pings();
    await settle(14_000);
    expect(pings() - before).toBeLessThanOrEqual(1);
    shown.show("visible");
    await settle();
    expect(pings() - before).toBeGreaterThanOrEqual(1);
    store.close();
    const after = pings();
    shown.show("hidden");
    globals.dispatchEvent(new Event("online"));
    await settle(60_000);
    expect(pings()).toBe(after);
  });

  test("that begins hidden and without a network says so", async () => {
    openPage({ onLine: false }).visibilityState = "hidden";
    const { store } = connect();
    await settle();
    FakeSocket.last.fire("disconnect", "transport close");
    await settle(250);
    expect(store.connection.cause?.kind).toBe("offline");
    const sockets = FakeSocket.all.length;
    globals.dispatchEvent(new Event("online"));
    await settle();
    expect(FakeSocket.all.length).toBe(sockets + 1);
    globals.dispatchEvent(new Event("offline"));
    await settle();
    expect(FakeSocket.last.sent.filter(([name]) => name === "ping").length).toBeGreaterThan(0);
    store.close();
  });
});

describe("polls", () => {
  const polling = { transport: "polling", pipelines: ["p", "q"] } as const;

  test("carry the token and the last report, and are given up at the end", async () => {
    const hub = fakeHub(() => new Promise(() => {}));
    const { store } = connect({ ...polling, fetch: hub.fetch, token: "secret" });
    await settle();
    expect(hub.asked.map(({ path }) => path)).toEqual(["/base/api/pipelines/p/events?wait=0", "/base/api/pipelines/q/events?wait=0"]);
    expect(hub.asked[0]?.headers).toEqual({ accept: "application/json", authorization: "Bearer secret" });
    store.close();
    expect(hub.asked.map(({ signal }) => signal.aborted)).toEqual([true, true]);
    await settle(60_000);
    expect([hub.asked.length, vi.getTimerCount()]).toEqual([2, 0]);
  });

  test("tell why it polls once, also where the poll that was to tell it failed", async () => {
    const told: (string | undefined)[] = [];
    let failures = 1;
    const answers = fakeHub((path) => (path.includes("/events") ? json({ epoch: "e", seq: 9, snapshot: status("p", 9) }) : json({})));
    const fetch = async (url: string, init: RequestInit): Promise<Response> => {
      const header = new Headers(init.headers).get("ragpulse-client-status");
      if (header !== null) {
        if (failures-- > 0) throw new TypeError("cut");
        told.push((JSON.parse(header) as { fallback_cause?: string }).fallback_cause);
      }
      return answers.fetch(url, init);
    };
    const each = 1_000;
    const { store } = connect({ transport: "polling", reports: true, polling: { busyMs: each, idleMs: each, offlineMs: each }, fetch });
    for (let second = 0; second < 95; second += 1) await settle(each);
    expect(told[0]).toBe("chosen");
    expect(told.length).toBeGreaterThanOrEqual(3);
    expect(told.slice(1)).toEqual(told.slice(1).map(() => undefined));
    store.close();
  });

  test("that are not answered in time fail, and say so", async () => {
    const hub = fakeHub(() => new Promise(() => {}));
    const never = async (url: string, init: RequestInit): Promise<Response> => {
      void hub.fetch(url, init);
      return new Promise((_, reject) => init.signal!.addEventListener("abort", () => reject(init.signal!.reason)));
    };
    const { store } = connect({ ...polling, fetch: never });
    await settle();
    await settle(10_000);
    await settle(20);
    expect(store.connection).toEqual({ state: "waiting", cause: { kind: "failed", message: "no answer within 10 s" } });
    store.close();
  });

  test("retry tries what rests at once", async () => {
    const hub = fakeHub(() => json({}, { status: 502 }));
    const { store } = connect({ ...polling, fetch: hub.fetch });
    await settle(20);
    const before = hub.asked.length;
    expect(store.connection).toMatchObject({ state: "waiting", cause: { kind: "failed", message: "HTTP 502" } });
    store.retry();
    await settle();
    expect(hub.asked.length).toBe(before + 2);
    store.close();
  });

  test("by scope begin with the list", async () => {
    const hub = fakeHub((path) => path.includes("rag-status") ? json({ pipelines: [{ pipeline_id: "a", pipeline_type: "t" }, { nonsense: 1 }] }) : json({ epoch: "e", seq: 1, snapshot: status("a", 1) }));
    const { store } = connect({ transport: "polling", pipelines: { type: "t" }, fetch: hub.fetch });
    await settle(20);
    expect([store.pipelines, store.getSnapshot("a")?.seq, store.connection.state]).toEqual([["a"], 1, "polling"]);
    store.close();
  });
});

describe("a store", () => {
  test("that is not connected does nothing until it is, and has the states to begin with", async () => {
    const hub = fakeHub();
    const store = createPipelineStatusStore({ url: "http://hub.test", initial: [status("p", 7)], io, fetch: hub.fetch, reports: false });
    await settle(60_000);
    expect([hub.asked, store.pipelines, store.getSnapshot("p")?.seq]).toEqual([[], ["p"], 7]);
    store.connect();
    store.connect();
    await settle();
    expect(hub.asked).toHaveLength(1);
    expect(FakeSocket.last.sent[0]).toMatchObject(["subscribe", { all: true, cursors: { p: { epoch: "e", seq: 7 } } }]);
    store.close();
    store.connect();
    await settle();
    expect(FakeSocket.all).toHaveLength(1);
  });

  test("that is closed before it connected stays closed", async () => {
    const hub = fakeHub();
    const store = connectPipelineStatus({ url: "http://hub.test", io, fetch: hub.fetch });
    store.close();
    await settle(1_000);
    expect([hub.asked, store.connection.state, vi.getTimerCount()]).toEqual([[], "closed", 0]);
  });

  test.each([
    [{ url: "ftp://hub" }], [{ url: "hub" }], [{ url: "http://u:p@hub" }], [{ url: "http://hub/?token=1" }],
    [{ url: "http://hub", pipelines: ["a b"] }],
  ])("refuses %j at once, and repeats no password", (options) => {
    expect(() => connectPipelineStatus(options)).toThrow(TypeError);
    expect(() => connectPipelineStatus(options)).not.toThrow(/u:p/);
  });
});
