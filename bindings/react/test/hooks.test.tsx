// The provider and the hooks, with a real store over a hub in memory.
import type { FileStatus, PipelineStatusStore, TokenSource } from "@ragpulse/client";
import { createPipelineStatusStore } from "@ragpulse/client";
import { act, render, renderHook, screen, waitFor } from "@testing-library/react";
import { Profiler, type ReactElement, type ReactNode, useEffect, useState } from "react";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import {
  PipelineStatusProvider, useConnection, useFile, useFiles, useHistory, useLostConnection, usePipelineIds, usePipelines, usePipelineSelector,
  usePipelineStatus, usePipelineStore,
} from "../src/index.js";
import { fileOf, Hub, statusOf } from "./hub.js";
import { complained } from "./setup.js";

let hub: Hub;
beforeEach(() => {
  hub = new Hub();
  hub.put(statusOf("docs", [fileOf("a", 1, "processing"), fileOf("b", 2)]));
  hub.put(statusOf("wiki", [fileOf("w", 1)]));
});

const around = (more: object = {}) => ({ children }: { children: ReactNode }): ReactElement => (
  <PipelineStatusProvider {...hub.options} {...more}>{children}</PipelineStatusProvider>
);
/** Until timers of no length have run, as the deferred close would. */
const settle = (): Promise<void> => act(() => new Promise<void>((go) => setTimeout(go, 20)));

const turn = setImmediate;
/** Lets fake time pass, and with it what is loaded in the meantime. */
async function pass(ms: number): Promise<void> {
  await act(async () => {
    for (let passed = 0; passed < ms; passed += 100) {
      await vi.advanceTimersByTimeAsync(Math.min(100, ms - passed));
      await new Promise((go) => turn(go));
    }
  });
}
/** Lets fake time pass until something holds. */
async function until(check: () => void, withinMs = 20_000): Promise<void> {
  for (let passed = 0; passed < withinMs; passed += 100) {
    await pass(100);
    try {
      return check();
    } catch {
      // Not yet.
    }
  }
  check();
}

describe("the provider", () => {
  test("gives all pipelines of the hub, and what happens in them", async () => {
    const { result } = renderHook(() => usePipelines(), { wrapper: around() });
    expect(result.current).toEqual([]);
    await waitFor(() => expect(result.current.map(({ pipeline_id }) => pipeline_id)).toEqual(["docs", "wiki"]));
    act(() => hub.file("docs", "a", "failed"));
    await waitFor(() => expect(result.current[0]?.counts.failed).toBe(1));
  });

  test("keeps one connection in Strict Mode, and closes it when it goes", async () => {
    const stores = new Set<PipelineStatusStore>();
    const { result, unmount } = renderHook(() => {
      const store = usePipelineStore();
      useEffect(() => void stores.add(store), [store]);
      return useConnection();
    }, { wrapper: around(), reactStrictMode: true });
    await waitFor(() => expect(result.current.state).toBe("websocket"));
    await settle();
    expect(stores.size).toBe(1);
    expect([hub.opened, hub.sockets.size]).toEqual([1, 1]);
    unmount();
    await waitFor(() => expect(hub.sockets.size).toBe(0));
  });

  test("gives everything in Strict Mode too", async () => {
    hub.files.set("docs", [fileOf("a", 1), fileOf("b", 2)]);
    const told = vi.fn();
    const { result } = renderHook(() => {
      useLostConnection(told, { afterMs: 1 });
      return { state: usePipelineStatus("wiki"), file: useFile("docs", "a"), files: useFiles("docs"), all: usePipelines(), connection: useConnection() };
    }, { wrapper: around(), reactStrictMode: true });
    await waitFor(() => expect(result.current.connection.state).toBe("websocket"));
    await waitFor(() => expect(result.current.files.items.length).toBe(2));
    await waitFor(() => expect([result.current.state?.pipeline_id, result.current.file?.id, result.current.all.length]).toEqual(["wiki", "a", 2]));
    act(() => hub.publish("docs", "file:progress", { file: { id: "a", name: "a" }, progress: 0.25 }));
    await waitFor(() => expect(result.current.file?.progress).toBe(0.25));
    expect(hub.opened).toBe(1);
  });

  test("does not reconnect for options that say the same, and does for others, keeping what it knows", async () => {
    const seen: (string | null)[] = [];
    function Show(): ReactElement {
      const status = usePipelineStatus("docs");
      seen.push(status?.epoch ?? null);
      return <p>{status?.files.length}</p>;
    }
    const page = (pipelines: string[], token: TokenSource): ReactElement => (
      <PipelineStatusProvider {...hub.options} url={new URL("http://hub.test")} pipelines={pipelines} token={token}><Show /></PipelineStatusProvider>
    );
    const { rerender } = render(page(["docs"], () => "first"));
    await screen.findByText("2");
    rerender(page(["docs"], () => "second"));
    await settle();
    expect(hub.opened).toBe(1);
    seen.length = 0;
    rerender(page(["docs", "wiki"], () => "second"));
    await waitFor(() => expect(hub.opened).toBe(2));
    await settle();
    expect(hub.sockets.size).toBe(1);
    expect(seen.every((epoch) => epoch === "e1")).toBe(true);
  });

  test("uses a changed token from then on", async () => {
    let token = "one";
    const { result, rerender } = renderHook(() => usePipelineStore(), {
      wrapper: ({ children }) => {
        const own = token;
        return <PipelineStatusProvider {...hub.options} token={() => own}>{children}</PipelineStatusProvider>;
      },
    });
    await waitFor(() => expect(result.current.connection.state).toBe("websocket"));
    const store = result.current;
    token = "two";
    rerender();
    await act(() => store.request("/api/rag-status"));
    expect(result.current).toBe(store);
    expect(hub.requests.map(({ authorization }) => authorization)).toEqual(["Bearer one", "Bearer two"]);
    expect(hub.opened).toBe(1);
  });

  test("shows the hub a token that is another text", async () => {
    let token = "one";
    const { result, rerender } = renderHook(() => usePipelineStore(), {
      wrapper: ({ children }) => <PipelineStatusProvider {...hub.options} token={token}>{children}</PipelineStatusProvider>,
    });
    await waitFor(() => expect(result.current.connection.state).toBe("websocket"));
    const emit = vi.spyOn([...hub.sockets][0]!, "emit");
    token = "two";
    rerender();
    await waitFor(() => expect(emit).toHaveBeenCalledWith("auth:refresh", { token: "two" }, expect.any(Function)));
    expect(hub.opened).toBe(1);
  });

  test("connects with another token after the hub has refused the one before", async () => {
    hub.wanted = "two";
    let token = "one";
    const { result, rerender } = renderHook(() => ({ connection: useConnection(), status: usePipelineStatus("docs") }), {
      wrapper: ({ children }) => <PipelineStatusProvider {...hub.options} transport="websocket" token={token}>{children}</PipelineStatusProvider>,
    });
    await waitFor(() => expect(result.current.connection).toMatchObject({ state: "closed", cause: { kind: "rejected", code: "unauthorized" } }));
    const { opened } = hub;
    rerender();
    await settle();
    expect(hub.opened).toBe(opened);
    token = "two";
    rerender();
    await waitFor(() => expect(result.current.connection).toMatchObject({ state: "websocket", cause: null }));
    await waitFor(() => expect(result.current.status?.files.length).toBe(2));
    expect(hub.opened).toBe(opened + 1);
  });

  test("tries again with a token function where the hub has refused, when it is asked to, in the same store", async () => {
    hub.wanted = "good";
    let token: string | null = null;
    const own = async (): Promise<string | null> => token;
    const { result } = renderHook(() => ({ store: usePipelineStore(), connection: useConnection(), status: usePipelineStatus("docs") }), { wrapper: around({ token: own }) });
    const refused = { state: "closed", cause: { kind: "rejected", code: "unauthorized" } };
    await waitFor(() => expect(result.current.connection).toMatchObject(refused));
    const { store } = result.current;
    const { opened } = hub;
    token = "bad";
    act(() => store.refreshToken());
    await waitFor(() => expect(hub.opened).toBe(opened + 1));
    await waitFor(() => expect(result.current.connection).toMatchObject(refused));
    token = "good";
    act(() => result.current.connection.retry());
    await waitFor(() => expect(result.current.connection).toMatchObject({ state: "websocket", cause: null }));
    await waitFor(() => expect(result.current.status?.files.length).toBe(2));
    expect(result.current.store).toBe(store);
  });

  test("keeps what it shows while a token has ended, and goes on from there with the next one", async () => {
    hub.wanted = "one";
    let token = "one";
    const seen: (number | null)[] = [];
    const { result, rerender } = renderHook(() => {
      const status = usePipelineStatus("docs");
      seen.push(status?.files.length ?? null);
      return { store: usePipelineStore(), connection: useConnection(), status };
    }, { wrapper: ({ children }) => <PipelineStatusProvider {...hub.options} token={token}>{children}</PipelineStatusProvider> });
    await waitFor(() => expect(result.current.status?.files.length).toBe(2));
    await waitFor(() => expect(result.current.connection.state).toBe("websocket"));
    const { store } = result.current;
    seen.length = 0;
    hub.wanted = "two";
    act(() => [...hub.sockets][0]!.receive("subscription:ended", { pipeline_id: "docs", code: "unauthorized" }));
    await waitFor(() => expect(result.current.connection).toMatchObject({ state: "closed", cause: { code: "unauthorized" } }), { timeout: 5_000 });
    hub.file("docs", "c", "completed");
    token = "two";
    rerender();
    await waitFor(() => expect(result.current.status?.files.length).toBe(3));
    expect(result.current.store).toBe(store);
    expect(seen).not.toContain(null);
  });

  test("passes on somebody's own store without connecting or closing it", async () => {
    const store = createPipelineStatusStore(hub.options);
    const { result, unmount } = renderHook(() => usePipelineStore(), {
      wrapper: ({ children }) => <PipelineStatusProvider store={store}>{children}</PipelineStatusProvider>,
    });
    expect(result.current).toBe(store);
    await settle();
    expect(hub.opened).toBe(0);
    store.connect();
    await waitFor(() => expect(hub.sockets.size).toBe(1));
    unmount();
    await settle();
    expect(hub.sockets.size).toBe(1);
    store.close();
  });

  test("goes on where it stopped when it is hidden for a while and shown again", async () => {
    // What React does to effects when a part is hidden, as by Activity, seen from them: gone, and later here again.
    const { Activity } = (await import("react")) as { Activity?: (props: { mode: string; children: ReactNode }) => ReactElement };
    if (!Activity) return;
    const Part = Activity;
    function Show(): ReactElement {
      return <p>{usePipelineStatus("docs")?.files.length} {useConnection().state}</p>;
    }
    const page = (mode: string): ReactElement => (
      <Part mode={mode}><PipelineStatusProvider {...hub.options} pipelines={["docs"]}><Show /></PipelineStatusProvider></Part>
    );
    const { rerender } = render(page("visible"));
    await screen.findByText("2 websocket");
    rerender(page("hidden"));
    await waitFor(() => expect(hub.sockets.size).toBe(0));
    rerender(page("visible"));
    await waitFor(() => expect(hub.sockets.size).toBe(1));
    await screen.findByText("2 websocket");
    expect(hub.subscribes.at(-1)).toMatchObject({ cursors: { docs: { epoch: "e1", seq: 2 } } });
  });

  test("is missed in words", () => {
    expect(() => renderHook(() => usePipelines())).toThrow("no PipelineStatusProvider is around this component");
    complained();
  });
});

describe("reading", () => {
  test("ids, states and selections are the same objects until they change", async () => {
    const { result, rerender } = renderHook(
      () => ({
        ids: usePipelineIds(),
        all: usePipelines(),
        names: usePipelineSelector("docs", (state) => state?.files.map(({ id }) => id) ?? [], (a, b) => a.join() === b.join()),
      }),
      { wrapper: around({ pipelines: ["docs", "unknown"] }) },
    );
    expect(result.current).toEqual({ ids: ["docs", "unknown"], all: [], names: [] });
    await waitFor(() => expect(result.current.names).toEqual(["a", "b"]));
    const { ids, all, names } = result.current;
    rerender();
    expect([result.current.ids, result.current.all, result.current.names].map((one, index) => one === [ids, all, names][index])).toEqual([true, true, true]);
    act(() => hub.file("docs", "a", "processing", { progress: 0.5 }));
    await waitFor(() => expect(result.current.all).not.toBe(all));
    expect(result.current.names).toBe(names);
    expect(result.current.ids).toBe(ids);
  });

  test("follows a pipeline that the provider does not, while it is looked at", async () => {
    const { result, unmount } = renderHook(() => usePipelineStatus("wiki"), { wrapper: around({ pipelines: [] }) });
    await waitFor(() => expect(result.current?.files.length).toBe(1));
    act(() => hub.file("wiki", "x", "processing"));
    await waitFor(() => expect(result.current?.counts.processing).toBe(1));
    unmount();
  });

  test("does not let go of what the provider follows", async () => {
    vi.useFakeTimers();
    function Show(): ReactElement {
      return <p>{usePipelineStatus("docs")?.files.length}</p>;
    }
    let hide = (): void => {};
    function Page(): ReactElement {
      const [shown, setShown] = useState(true);
      hide = () => setShown(false);
      return <>{shown && <Show />}<i>{usePipelineIds().join()}</i></>;
    }
    render(<PipelineStatusProvider {...hub.options} pipelines={["docs"]}><Page /></PipelineStatusProvider>);
    await until(() => screen.getByText("2"));
    act(hide);
    await pass(20_000);
    act(() => hub.file("docs", "c", "queued"));
    await pass(1_000);
    expect(document.querySelector("i")?.textContent).toBe("docs");
  });

  test("keeps a pipeline of somebody's own store when whoever else held it lets it go", async () => {
    vi.useFakeTimers();
    const store = createPipelineStatusStore({ ...hub.options, pipelines: [] });
    store.connect();
    const letGo = store.follow(["docs"]);
    await until(() => expect(store.getSnapshot("docs")).not.toBeNull());
    const { result, unmount } = renderHook(() => usePipelineStatus("docs"), {
      wrapper: ({ children }) => <PipelineStatusProvider store={store}>{children}</PipelineStatusProvider>,
    });
    act(letGo);
    await pass(10_000);
    act(() => hub.file("docs", "c", "queued"));
    await pass(1_000);
    expect(result.current?.files.map(({ id }) => id)).toEqual(["a", "b", "c"]);
    unmount();
    await pass(10_000);
    expect(store.pipelines).toEqual([]);
    store.close();
  });

  test("a file draws anew only when it changes itself", async () => {
    const drawn: Record<string, number> = { a: 0, b: 0 };
    function One({ id }: { id: string }): ReactElement {
      const file = useFile("docs", id);
      return <Profiler id={id} onRender={() => (drawn[id] = (drawn[id] ?? 0) + 1)}><p>{`${id} ${file?.state} ${file?.progress}`}</p></Profiler>;
    }
    render(<PipelineStatusProvider {...hub.options}><One id="a" /><One id="b" /><One id="none" /></PipelineStatusProvider>);
    await screen.findByText("a processing undefined");
    const before = { ...drawn };
    act(() => hub.publish("docs", "file:progress", { file: { id: "a", name: "a" }, progress: 0.25 }));
    await screen.findByText("a processing 0.25");
    expect(drawn["a"]).toBe((before["a"] ?? 0) + 1);
    expect(drawn["b"]).toBe(before["b"]);
    expect(screen.getByText("none undefined undefined")).toBeDefined();
  });
});

describe("the connection", () => {
  beforeEach(() => void vi.useFakeTimers());

  test("says by what updates come and how old they are, and only its users see seconds pass", async () => {
    let others = 0;
    function Other(): ReactElement {
      usePipelineStatus("docs");
      others += 1;
      return <p />;
    }
    let connection: ReturnType<typeof useConnection> | undefined;
    function Show(): ReactElement {
      connection = useConnection();
      return <p />;
    }
    render(<PipelineStatusProvider {...hub.options}><Show /><Other /></PipelineStatusProvider>);
    expect(connection).toMatchObject({ state: "connecting", cause: null, transport: null, latencyMs: null, dataAgeMs: null });
    await until(() => expect(connection).toMatchObject({ state: "websocket", transport: "websocket" }));
    await until(() => expect(connection?.latencyMs).toBeTypeOf("number"));
    const before = others;
    await pass(4_000);
    expect(connection?.dataAgeMs).toBeGreaterThanOrEqual(3_000);
    expect(others).toBe(before);
  });

  test("falls back to polling with its cause, and tries again when asked", async () => {
    hub.sockets_are = "refused";
    const { result } = renderHook(() => useConnection(), { wrapper: around() });
    await until(() => expect(result.current).toMatchObject({ state: "polling", transport: "polling" }));
    expect(result.current.cause).not.toBeNull();
    hub.sockets_are = "open";
    act(() => result.current.retry());
    await until(() => expect(result.current).toMatchObject({ state: "websocket", cause: null }));
  });
});

describe("a lost connection", () => {
  const told: unknown[] = [];
  beforeEach(() => {
    told.length = 0;
    vi.useFakeTimers();
  });
  afterEach(() => vi.unstubAllGlobals());
  const page = async () => {
    const rendered = renderHook(() => {
      useLostConnection((lost) => told.push(lost && lost.cause?.kind), { afterMs: 5_000 });
      return usePipelineStore();
    }, { wrapper: around({ transport: "websocket" }) });
    await until(() => expect(rendered.result.current.connection.state).toBe("websocket"));
    return rendered;
  };

  test("is told once when it lasts, and that it is over", async () => {
    await page();
    hub.sockets_are = "lost";
    hub.drop();
    await pass(4_000);
    expect(told).toEqual([]);
    await pass(8_000);
    expect(told).toEqual(["failed"]);
    await pass(30_000);
    expect(told).toEqual(["failed"]);
    hub.sockets_are = "open";
    await pass(60_000);
    expect(told).toEqual(["failed", null]);
  });

  test("is not told when it heals by itself, nor when the store is closed", async () => {
    const { result } = await page();
    hub.drop();
    await pass(3_000);
    expect(result.current.connection.state).toBe("websocket");
    await pass(20_000);
    result.current.close();
    await pass(20_000);
    expect(told).toEqual([]);
  });

  test("is not told while nobody looks, but some time after", async () => {
    await page();
    const hidden = vi.spyOn(document, "hidden", "get").mockReturnValue(true);
    document.dispatchEvent(new Event("visibilitychange"));
    hub.sockets_are = "lost";
    hub.drop();
    await pass(60_000);
    expect(told).toEqual([]);
    hidden.mockReturnValue(false);
    document.dispatchEvent(new Event("visibilitychange"));
    await pass(4_000);
    expect(told).toEqual([]);
    await pass(2_000);
    expect(told).toEqual(["failed"]);
  });

  test("is over when a store that took the place of the lost one is connected", async () => {
    const own = () => {
      const store = createPipelineStatusStore({ ...hub.options, transport: "websocket" });
      store.connect();
      return store;
    };
    let store = own();
    let afterMs = 5_000;
    const { rerender } = renderHook(() => useLostConnection((lost) => told.push(lost && lost.cause?.kind), { afterMs }), {
      wrapper: ({ children }) => <PipelineStatusProvider store={store}>{children}</PipelineStatusProvider>,
    });
    await until(() => expect(store.connection.state).toBe("websocket"));
    hub.sockets_are = "lost";
    hub.drop();
    await pass(6_000);
    expect(told).toEqual(["failed"]);
    // Another delay is no other loss.
    afterMs = 6_000;
    rerender();
    await pass(20_000);
    expect(told).toEqual(["failed"]);
    hub.sockets_are = "open";
    store.close();
    store = own();
    rerender();
    await pass(3_000);
    expect(store.connection.state).toBe("websocket");
    expect(told).toEqual(["failed", null]);
    store.close();
  });

  test("ends with the store, and is not told after the component is gone", async () => {
    const { result, unmount } = await page();
    hub.sockets_are = "lost";
    hub.drop();
    await pass(6_000);
    expect(told).toEqual(["failed"]);
    result.current.close();
    await pass(1_000);
    expect(told).toEqual(["failed", null]);
    unmount();
  });
});

describe("pages", () => {
  const many = (amount: number): FileStatus[] => Array.from({ length: amount }, (_, index) => fileOf(`f${index}`, index + 1, index % 3 ? "completed" : "failed"));

  test("files come a page at a time, to the end", async () => {
    hub.files.set("docs", many(25));
    const { result } = renderHook(() => useFiles("docs", { limit: 10 }), { wrapper: around() });
    expect(result.current).toMatchObject({ items: [], isLoading: true });
    await waitFor(() => expect(result.current).toMatchObject({ isLoading: false, hasMore: true }));
    expect(result.current.items.length).toBe(10);
    act(() => {
      result.current.loadMore();
      result.current.loadMore();
    });
    await waitFor(() => expect(result.current.items.length).toBe(20));
    act(() => result.current.loadMore());
    await waitFor(() => expect(result.current).toMatchObject({ isLoading: false, hasMore: false }));
    expect(result.current.items.map(({ id }) => id)).toEqual(many(25).map(({ id }) => id));
    act(() => result.current.loadMore());
    expect(result.current.isLoading).toBe(false);
    hub.files.set("docs", many(5));
    act(() => result.current.reload());
    await waitFor(() => expect(result.current.items.length).toBe(5));
  });

  test("another question drops the answer to the one before", async () => {
    hub.files.set("docs", many(9));
    const { result, rerender, unmount } = renderHook(({ state }: { state: FileStatus["state"] }) => useFiles("docs", { state, limit: 100 }), {
      wrapper: around(), initialProps: { state: "completed" },
    });
    const asked = () => hub.requests.filter(({ url }) => url.pathname.endsWith("/files"));
    hub.failing = () => new Promise(() => {});
    await waitFor(() => expect(asked().length).toBe(1));
    hub.failing = null;
    rerender({ state: "failed" });
    expect(result.current).toMatchObject({ items: [], isLoading: true });
    await waitFor(() => expect(result.current.isLoading).toBe(false));
    expect(new Set(result.current.items.map(({ state }) => state))).toEqual(new Set(["failed"]));
    expect(asked().map(({ signal }) => signal.aborted)).toEqual([true, false]);
    unmount();
  });

  test("a failed page says why, and can be asked for again", async () => {
    hub.failing = () => Response.json({ code: "overloaded", detail: "too much to do" }, { status: 503 });
    const { result } = renderHook(() => useHistory("docs", { file: "a" }), { wrapper: around() });
    await waitFor(() => expect(result.current.error).toMatchObject({ code: "overloaded", message: "too much to do" }));
    expect(result.current).toMatchObject({ items: [], isLoading: false });
    hub.failing = null;
    hub.file("docs", "a", "completed");
    act(() => result.current.loadMore());
    await waitFor(() => expect(result.current.items.map(({ event }) => event)).toEqual(["file:completed"]));
    expect(result.current.error).toBe(null);
  });

  test("a page that is empty before the last one is not shown as one", async () => {
    const pages = [{ events: [], next_after: 5 }, { events: [{ event: "x:y", data: { seq: 6 } }] }];
    hub.failing = () => Response.json(pages.shift());
    const { result } = renderHook(() => useHistory("docs"), { wrapper: around() });
    await waitFor(() => expect(result.current).toMatchObject({ isLoading: false, hasMore: false }));
    expect(result.current.items.length).toBe(1);
  });

  test("nothing is asked for without an id", async () => {
    const { result } = renderHook(() => useFiles(null), { wrapper: around() });
    await settle();
    expect(result.current).toMatchObject({ items: [], isLoading: false, hasMore: false });
    expect(hub.requests.some(({ url }) => url.pathname.endsWith("/files"))).toBe(false);
  });
});
