// The components, with a real store over a hub in memory.
import { type Cause, type ConnectionState, createPipelineStatusStore, type FileStatus, type PipelineStatusStore, type Update } from "@ragpulse/client";
import { act, fireEvent, render, screen, waitFor, within } from "@testing-library/react";
import axe from "axe-core";
import { type ReactElement, type ReactNode, useState } from "react";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import {
  ConnectionIndicator, CountsBar, FileList, type FileListProps, FileRow, FileTimeline, LabelsProvider, PipelineStatus, StageProgress,
} from "../src/components/index.js";
import { PipelineStatusProvider } from "../src/index.js";
import { AT, fileOf, Hub, statusOf } from "./hub.js";

let hub: Hub;
beforeEach(() => {
  hub = new Hub();
});
afterEach(() => void vi.useRealTimers());

const show = (children: ReactNode) => render(<main><PipelineStatusProvider {...hub.options}>{children}</PipelineStatusProvider></main>);

/** What axe finds, but for colours, which nothing here draws. */
async function violations(): Promise<string[]> {
  const rules = { "color-contrast": { enabled: false }, region: { enabled: false } };
  const { violations } = await act(() => axe.run(document.body, { rules }));
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}

/** A store that stands in some state of its connection until it is told another. */
function standing(state: ConnectionState, cause: Cause | null = null) {
  const listeners = new Set<() => void>();
  const own = {
    ...createPipelineStatusStore({ ...hub.options, pipelines: [] }),
    pipelines: [] as readonly string[],
    connection: { state, cause },
    vitals: { latencyMs: 23.4 as number | null, heardAt: Date.now() as number | null, clockOffsetMs: 0 },
    retry: vi.fn(),
    subscribe: (listener: () => void) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const become = (next: ConnectionState, why: Cause | null = null): void => act(() => {
    own.connection = { state: next, cause: why };
    for (const tell of [...listeners]) tell();
  });
  return { store: own satisfies PipelineStatusStore, retry: own.retry, become };
}

describe("PipelineStatus", () => {
  test("says how a pipeline fares, and what it does next", async () => {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.parse(AT) + 61_000 });
    hub.put(statusOf("docs", [fileOf("a", 1, "processing"), fileOf("b", 2), fileOf("c", 3, "failed"), fileOf("d", 4, "queued")], {
      status: "running", started_at: AT, watch_location: "/srv/docs", next_check_time: new Date(Date.parse(AT) + 79_000).toISOString(),
    }));
    show(<PipelineStatus pipeline="docs" headingLevel={1} className="mine" data-testid="whole"><p>below</p></PipelineStatus>);
    expect(screen.getByRole("heading", { level: 1 }).textContent).toBe("Waiting for “docs”");
    await screen.findByRole("heading", { name: "docs", level: 1 });
    const whole = screen.getByTestId("whole");
    expect(whole.className).toBe("rp-pipeline mine");
    const text = whole.textContent ?? "";
    for (const part of ["Live", "running", "Local files", "/srv/docs", "started 1 min 1 s ago", "next check in 18 s", "of 4 · 50 %", "below"]) expect(text).toContain(part);
    expect(within(screen.getByRole("list", { name: "Files by state" })).getAllByRole("listitem").map((item) => item.textContent?.trim())).toEqual([
      "Processing 1", "Queued 1", "Completed 1", "Failed 1", "Skipped 0", "Cancelled 0",
    ]);
    expect(await violations()).toEqual([]);
  });

  test.each([
    [{ liveness: "late", last_activity: AT, is_checking: true }, ["Late, last event 1 min 1 s ago", "checking its source now"]],
    [{ liveness: "live", check_interval: 60 }, ["checks every 1 min"]],
    [{ liveness: "lost", shutdown_at: AT }, ["Lost", "stopped 1 min 1 s ago"]],
    [{ liveness: "offline", shutdown_at: AT, offline_reason: "error", status: "offline" }, ["stopped 1 min 1 s ago (error)"]],
    [{ liveness: "offline" }, ["Offline"]],
  ] as const)("%o", async (more, parts) => {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.parse(AT) + 61_000 });
    hub.put(statusOf("docs", [], more as object));
    const { container } = show(<PipelineStatus pipeline="docs" />);
    await screen.findByRole("heading", { name: "docs" });
    for (const part of parts) expect(container.textContent).toContain(part);
  });

  test("leaves the numbers to the list of files where that says them", async () => {
    hub.put(statusOf("docs", [fileOf("a", 1)]));
    show(<PipelineStatus pipeline="docs" hasCounts={false} />);
    expect((await screen.findByRole("img")).getAttribute("aria-label")).toBe("1 completed");
    expect(screen.queryByRole("list", { name: "Files by state" })).toBe(null);
  });

  test("a bar of counts is said in words", () => {
    show(<><CountsBar counts={statusOf("x", [fileOf("a", 1), fileOf("b", 2, "failed")]).counts} /><CountsBar counts={statusOf("x").counts} /></>);
    expect(screen.getAllByRole("img").map((image) => image.getAttribute("aria-label"))).toEqual(["1 completed, 1 failed", "No files yet"]);
  });
});

describe("StageProgress", () => {
  const base = fileOf("report", 1, "processing", { started_at: AT });
  const bar = (file: FileStatus, props: object = {}): HTMLElement => {
    show(<StageProgress file={file} {...props} />);
    return screen.getByRole("progressbar", { name: "Progress of report.pdf" });
  };

  test("a known stage counts to the whole, and says everything that is known", async () => {
    const whole = bar({ ...base, processing_stage: "embedding", progress: 0.5, current: 25, total: 50, unit: "chunks", eta_seconds: 12.4 }, { isDetailed: true });
    expect(whole.getAttribute("aria-valuenow")).toBe("62");
    expect(whole.getAttribute("aria-valuetext")).toBe("Embedding, 50 %, 25 of 50 chunks, 12 s left, stage 3 of 4");
    expect([...whole.children].map((part) => part.getAttribute("data-is"))).toEqual(["done", "done", "running", "ahead"]);
    expect(await violations()).toEqual([]);
  });

  test("an unknown progress and an unknown stage are not made up", () => {
    const whole = bar({ ...base, processing_stage: "table_ocr" });
    expect(whole.hasAttribute("aria-valuenow")).toBe(false);
    expect(whole.getAttribute("aria-valuetext")).toBe("Table ocr");
    expect([...whole.children].map((part) => part.getAttribute("data-is"))).toEqual(["unsure"]);
  });

  test("without a stage it is working; progress beyond its bounds stays within; own stages count", () => {
    expect(bar({ ...base, progress: 1.5 }).getAttribute("aria-valuenow")).toBe("100");
    document.body.replaceChildren();
    expect(bar({ ...base, processing_stage: "ocr", progress: 0.5 }, { stages: ["ocr", "index"] }).getAttribute("aria-valuenow")).toBe("25");
  });

  test("an estimate from the beginning counts down, and is gone when it has run out", async () => {
    vi.useFakeTimers({ now: Date.parse(AT) + 10_000 });
    const whole = bar({ ...base, processing_stage: "storing", estimated_duration: 12.5 });
    expect(whole.getAttribute("aria-valuetext")).toContain("2 s left");
    await act(() => vi.advanceTimersByTimeAsync(3_000));
    expect(whole.getAttribute("aria-valuetext")).not.toContain("left");
  });
});

describe("ConnectionIndicator", () => {
  test.each<[ConnectionState, Cause | null, string, boolean]>([
    ["connecting", null, "The hub is being called.", false],
    ["websocket", null, "Updates come as they happen.", false],
    ["polling", { kind: "chosen" }, "This page is set to poll", false],
    ["polling", { kind: "advised" }, "The hub asked this page to poll for now. The same updates are fetched by HTTP", true],
    ["polling", { kind: "refused", message: "websocket error" }, "such as a proxy, does not let a socket through: websocket error.", true],
    ["polling", { kind: "silence", afterMs: 3_000 }, "The hub was not heard for 3 s", true],
    ["waiting", { kind: "failed", message: "fetch failed." }, "fetch failed. It is tried again by itself", true],
    ["waiting", { kind: "offline", message: "" }, "This device has no network.", true],
    ["waiting", { kind: "hub_closing", retryAfterMs: 5_000 }, "The hub is being restarted and asked for 5 s.", true],
    ["waiting", { kind: "hub_closing", retryAfterMs: 0 }, "The hub is being restarted.", true],
    ["waiting", { kind: "rejected", code: "overloaded", message: "too many" }, "The hub refused: too many.", true],
    ["closed", { kind: "rejected", code: "unauthorized", message: "no token" }, "Sign in again", false],
    ["closed", { kind: "closed" }, "This page has closed the connection.", false],
  ])("%s because of %o: %s", async (state, cause, words, canRetry) => {
    const { store, retry } = standing(state, cause);
    render(<main><PipelineStatusProvider store={store}><ConnectionIndicator variant="full" /></PipelineStatusProvider></main>);
    expect(screen.getByRole("group", { name: "Connection" }).textContent).toContain(words);
    const button = screen.queryByRole("button", { name: "Try again now" });
    expect(button !== null).toBe(canRetry);
    if (button) fireEvent.click(button);
    expect(retry).toHaveBeenCalledTimes(canRetry ? 1 : 0);
    expect(await violations()).toEqual([]);
  });

  test("speaks of what matters only", () => {
    const { store, become } = standing("connecting");
    render(<PipelineStatusProvider store={store}><ConnectionIndicator /></PipelineStatusProvider>);
    const said = (): string => screen.getByRole("status").textContent ?? "";
    become("websocket");
    expect(said()).toBe("");
    become("connecting", { kind: "failed", message: "gone" });
    expect(said()).toBe("");
    become("waiting", { kind: "failed", message: "gone" });
    expect(said()).toContain("Connection: Hub not reached. The hub could not be reached");
    become("websocket");
    expect(said()).toContain("Connection: WebSocket.");
    become("polling", { kind: "refused", message: "x" });
    expect(said()).toContain("Connection: Polling.");
  });

  test("opens to say more, and closes by Escape and by a click elsewhere", async () => {
    vi.useFakeTimers({ toFake: ["Date", "setInterval", "clearInterval"] });
    const { store } = standing("websocket");
    render(<main><PipelineStatusProvider store={store}><ConnectionIndicator className="mine" /></PipelineStatusProvider></main>);
    const pill = screen.getByRole("button", { name: /WebSocket/ });
    expect(pill.textContent).toBe("WebSocket23 msdata now");
    act(() => vi.advanceTimersByTime(7_000));
    expect(pill.textContent).toContain("data 7 s old");
    const isOpen = (): boolean => !screen.getByText("Round trip").closest(".rp-panel")?.hasAttribute("hidden");
    expect(isOpen()).toBe(false);
    fireEvent.click(pill);
    expect(isOpen()).toBe(true);
    expect(await violations()).toEqual([]);
    fireEvent.keyDown(pill, { key: "Escape" });
    expect(isOpen()).toBe(false);
    fireEvent.click(pill);
    fireEvent.pointerDown(screen.getByText("Round trip"));
    expect(isOpen()).toBe(true);
    fireEvent.pointerDown(document.body);
    expect(isOpen()).toBe(false);
  });
});

describe("FileList", () => {
  const TOTAL = 10_000;
  /** A pipeline with ten thousand files, of which its state lists what is open and what ended last. */
  function tenThousand(): void {
    const all = Array.from({ length: TOTAL }, (_, index) =>
      fileOf(`f${String(index).padStart(5, "0")}`, index + 1, index < 9_950 ? (index % 10 === 0 ? "failed" : "completed") : index < 9_990 ? "queued" : "processing"));
    hub.files.set("docs", all);
    const whole = statusOf("docs", all);
    hub.put({ ...whole, files: all.slice(9_750) });
  }
  const rows = (): HTMLElement[] => screen.queryAllByRole("row").filter((row) => row.getAttribute("aria-rowindex") !== "1");
  const names = (): string[] => rows().map((row) => row.querySelector(".rp-file-name")?.textContent ?? row.textContent ?? "");
  const grid = (): HTMLElement => screen.getByRole("grid", { name: "Files" });
  const active = (): HTMLElement | null => document.getElementById(grid().getAttribute("aria-activedescendant") ?? "");
  const scrollTo = (top: number): void => act(() => {
    grid().scrollTop = top;
    grid().dispatchEvent(new Event("scroll"));
  });
  const asked = (): string[] => hub.requests.filter(({ url }) => url.pathname.endsWith("/files")).map(({ url }) => url.search);

  test("ten thousand files scroll with a few rows in the page, and those beyond the state come when they are seen", async () => {
    tenThousand();
    show(<FileList pipeline="docs" />);
    await waitFor(() => expect(rows().length).toBeGreaterThan(5));
    expect(grid().getAttribute("aria-rowcount")).toBe("10001");
    expect(names()[0]).toBe("f09990.pdf");
    expect(asked()).toEqual([]);
    let most = 0;
    for (const place of [100, 240, 400, 900]) {
      scrollTo(place * 54);
      most = Math.max(most, rows().length);
    }
    await waitFor(() => expect(names().some((name) => name === "Loading…")).toBe(false));
    expect(rows().length).toBeGreaterThan(5);
    most = Math.max(most, rows().length);
    expect(most).toBeLessThan(40);
    fireEvent.keyDown(grid(), { key: "End" });
    await waitFor(() => expect(active()?.textContent).toContain("f09749.pdf"));
    expect(asked().length).toBe(20);
    expect(rows().length).toBeLessThan(40);
    expect(screen.getByText("10,000 of 10,000 files")).toBeDefined();
  }, 30_000);

  test("goes on where pages come faster than it is drawn", async () => {
    tenThousand();
    hub.isInstant = true;
    show(<FileList pipeline="docs" />);
    await waitFor(() => expect(rows().length).toBeGreaterThan(5));
    fireEvent.keyDown(grid(), { key: "End" });
    await waitFor(() => expect(active()?.textContent).toContain("f09749.pdf"));
    expect(asked().length).toBe(20);
  }, 30_000);

  test("is used by keys: the place moves, stays with its file, and is always in the page", async () => {
    tenThousand();
    const onSelect = vi.fn();
    show(<FileList pipeline="docs" onSelect={onSelect} />);
    await waitFor(() => expect(rows().length).toBeGreaterThan(5));
    const press = (key: string, more: object = {}): boolean => fireEvent.keyDown(grid(), { key, ...more });
    expect(active()?.textContent).toContain("f09990.pdf");
    press("ArrowDown");
    press("ArrowDown");
    press("ArrowUp");
    expect(active()?.textContent).toContain("f09991.pdf");
    press("PageDown");
    expect(active()?.getAttribute("aria-rowindex")).toBe(String(1 + 9 + 2));
    press("PageUp");
    expect(active()?.textContent).toContain("f09991.pdf");
    press("ArrowDown", { ctrlKey: true });
    expect(press("x")).toBe(true);
    expect(press("Enter")).toBe(false);
    press(" ");
    expect(onSelect.mock.calls.map(([file]) => (file as FileStatus).id)).toEqual(["f09991", "f09991"]);
    expect(active()?.getAttribute("aria-selected")).toBe("true");
    scrollTo(5_000 * 54);
    expect(active()?.textContent).toContain("f09991.pdf");
    // The one before it ends, and is below what still runs.
    act(() => hub.publish("docs", "file:completed", { file: { id: "f09990", name: "f09990.pdf" }, results: {}, previous_state: "processing" }));
    await waitFor(() => expect(active()?.getAttribute("aria-rowindex")).toBe("2"));
    expect(active()?.textContent).toContain("f09991.pdf");
    press("Home");
    expect(active()?.getAttribute("aria-rowindex")).toBe("2");
    expect(await violations()).toEqual([]);
  });

  test("selecting a file, or a change of one, draws that row only", async () => {
    hub.put(statusOf("docs", Array.from({ length: 30 }, (_, index) => fileOf(`f${index}`, index + 1, "processing", { progress: 0.1, processing_stage: "chunking" }))));
    const drawn = vi.fn();
    let select = (_: string | null): void => {};
    function Page(): ReactElement {
      const [selected, setSelected] = useState<string | null>(null);
      select = setSelected;
      return <FileList pipeline="docs" selected={selected} onSelect={({ id }) => setSelected(id)} onRowRender={drawn} />;
    }
    show(<Page />);
    await waitFor(() => expect(rows().length).toBeGreaterThan(5));
    const namesDrawn = (): string[] => drawn.mock.calls.splice(0).map(([file]) => (file as FileStatus).id).sort();
    namesDrawn();
    fireEvent.click(screen.getByText("f3.pdf"));
    expect(screen.getByText("f3.pdf").closest("[role=row]")?.getAttribute("aria-selected")).toBe("true");
    expect(namesDrawn()).toEqual(["f0", "f3"]);
    act(() => select("f4"));
    expect(namesDrawn()).toEqual(["f3", "f4"]);
    act(() => hub.publish("docs", "file:progress", { file: { id: "f2", name: "f2.pdf" }, progress: 0.9, processing_stage: "chunking" }));
    await waitFor(() => expect(screen.getByText("f2.pdf").closest("[role=row]")?.textContent).toContain("90 %"));
    expect(namesDrawn()).toEqual(["f2"]);
  });

  test("the cells of a file are not drawn anew when their row only moves or is selected", () => {
    const drawn = vi.fn();
    const file = fileOf("a", 1);
    const page = (place: number, shown: FileStatus): ReactElement => (
      <PipelineStatusProvider {...hub.options}><div className="rp-row" data-place={place}><FileRow file={shown} onRender={drawn} /></div></PipelineStatusProvider>
    );
    const { rerender } = render(page(1, file));
    rerender(page(2, file));
    expect(drawn).toHaveBeenCalledTimes(1);
    rerender(page(2, { ...file, seq: 2 }));
    expect(drawn).toHaveBeenCalledTimes(2);
  });

  test("filters and searches, also beyond what the state lists", async () => {
    tenThousand();
    const onFilterChange = vi.fn();
    show(<FileList pipeline="docs" onFilterChange={onFilterChange} />);
    await waitFor(() => expect(rows().length).toBeGreaterThan(5));
    const filter = (name: RegExp): HTMLElement => screen.getByRole("button", { name });
    fireEvent.click(filter(/^Queued/));
    expect(filter(/^Queued/).getAttribute("aria-pressed")).toBe("true");
    expect(names()[0]).toBe("f09950.pdf");
    expect(grid().getAttribute("aria-rowcount")).toBe("41");
    fireEvent.click(filter(/^Skipped/));
    expect(screen.getByText("No files are skipped.")).toBeDefined();
    fireEvent.click(filter(/^Failed/));
    expect(onFilterChange.mock.calls).toEqual([["queued"], ["skipped"], ["failed"]]);
    const search = screen.getByRole("searchbox");
    fireEvent.change(search, { target: { value: "f00120" } });
    await waitFor(() => expect(names()).toEqual(["f00120.pdf"]));
    expect(asked().at(-1)).toBe("?limit=500&state=failed&q=f00120");
    expect(grid().getAttribute("aria-rowcount")).toBe("2");
    await waitFor(() => expect(screen.getByRole("status").textContent).toBe("1 of 1 files"));
    fireEvent.change(search, { target: { value: "nowhere" } });
    await waitFor(() => expect(screen.getAllByText("No file matches “nowhere”.").length).toBeGreaterThan(0));
    expect(await violations()).toEqual([]);
  });

  test("an answer that is late is said when it is here", async () => {
    tenThousand();
    let answer = (): void => {};
    show(<FileList pipeline="docs" />);
    await waitFor(() => expect(rows().length).toBeGreaterThan(5));
    hub.late = new Promise((go) => (answer = go));
    fireEvent.change(screen.getByRole("searchbox"), { target: { value: "f00120" } });
    await waitFor(() => expect(screen.getByRole("status").textContent).toBe("Loading…"));
    act(answer);
    await waitFor(() => expect(screen.getByRole("status").textContent).toBe("1 of 1 files"));
  });

  test("what changes, ends or is deleted while pages are here is listed once, as it is now", async () => {
    const all = Array.from({ length: 12 }, (_, index) => fileOf(`f${index}`, index + 1));
    hub.files.set("docs", all);
    hub.put({ ...statusOf("docs", all), files: all.slice(9), limits: { open: 10, ended: 3 } });
    show(<FileList pipeline="docs" />);
    await waitFor(() => expect(names().length).toBe(12));
    await waitFor(() => expect(names()).not.toContain("Loading…"));
    expect(names().slice(0, 4)).toEqual(["f11.pdf", "f10.pdf", "f9.pdf", "f0.pdf"]);
    // A file of a page runs again, and ends: what the state lists falls out of it at the other end.
    act(() => hub.publish("docs", "file:processing", { file: { id: "f0", name: "f0.pdf" }, processing_stage: "chunking", previous_state: "completed" }));
    await waitFor(() => expect(names()[0]).toBe("f0.pdf"));
    act(() => hub.publish("docs", "file:completed", { file: { id: "f0", name: "f0.pdf" }, results: { chunks_created: 1 }, previous_state: "processing" }));
    await waitFor(() => expect(rows()[0]?.textContent).toContain("1 chunk"));
    expect([...names()].sort()).toEqual(all.map(({ name }) => name).sort());
    for (const id of ["f1", "f2", "f4"]) {
      const file = { id, name: `${id}.pdf` };
      act(() => hub.publish("docs", "file:processing", { file, processing_stage: "chunking", previous_state: "completed" }));
      await waitFor(() => expect(names()[0]).toBe(file.name));
      act(() => hub.publish("docs", "file:completed", { file, results: {}, previous_state: "processing" }));
      await waitFor(() => expect(rows()[0]?.textContent).toContain("Completed"));
    }
    // It is no longer in the state, and what the page said of it is older than what was seen.
    expect(hub.status("docs")?.files.map(({ id }) => id)).toEqual(["f1", "f2", "f4"]);
    expect(rows().find((row) => row.textContent?.includes("f0.pdf"))?.textContent).toContain("1 chunk");
    act(() => hub.publish("docs", "file:deleted", { file: { id: "f3", name: "f3.pdf" }, previous_state: "completed" }));
    await waitFor(() => expect(names()).not.toContain("f3.pdf"));
    expect(names().length).toBe(11);
  });

  test("a file that is deleted is gone, though the page is drawn before the state is told", async () => {
    const all = Array.from({ length: 6 }, (_, index) => fileOf(`f${index}`, index + 1));
    hub.files.set("docs", all);
    hub.put({ ...statusOf("docs", all), files: all.slice(3), limits: { open: 10, ended: 3 } });
    const store = createPipelineStatusStore({ ...hub.options, pipelines: ["docs"] });
    store.connect();
    render(<PipelineStatusProvider store={store}><FileList pipeline="docs" /></PipelineStatusProvider>);
    await waitFor(() => expect(names().length).toBe(6));
    await waitFor(() => expect(names()).not.toContain("Loading…"));
    // Within one act the list is drawn when it ends, which is before the next frame.
    act(() => hub.publish("docs", "file:deleted", { file: { id: "f4", name: "f4.pdf" }, previous_state: "completed" }));
    expect(store.getSnapshot("docs")?.files.some(({ id }) => id === "f4")).toBe(true);
    await waitFor(() => expect(store.getSnapshot("docs")?.counts.completed).toBe(5));
    await waitFor(() => expect(names()).toEqual(["f5.pdf", "f3.pdf", "f0.pdf", "f1.pdf", "f2.pdf"]));
    // Another file of the same id is listed again.
    act(() => hub.file("docs", "f4", "processing"));
    await waitFor(() => expect(names()[0]).toBe("f4.pdf"));
    store.close();
  });

  test("says why the others could not be loaded, and tries again", async () => {
    const all = Array.from({ length: 6 }, (_, index) => fileOf(`f${index}`, index + 1));
    hub.files.set("docs", all);
    hub.failing = () => Response.json({ code: "store_unavailable", detail: "the store is away" }, { status: 503 });
    hub.put({ ...statusOf("docs", all), files: all.slice(4) });
    show(<FileList pipeline="docs" />);
    expect((await screen.findByRole("alert")).textContent).toBe("The other files could not be loaded: the store is away");
    hub.failing = null;
    fireEvent.click(screen.getByRole("button", { name: "Try again now" }));
    await waitFor(() => expect(names().length).toBe(6));
    await waitFor(() => expect(screen.queryByRole("alert")).toBe(null));
  });

  test("can scroll with the page, and be without tools", async () => {
    hub.put(statusOf("docs", [fileOf("a", 1)]));
    const { container } = show(<FileList pipeline="docs" scroll="page" hasTools={false} id="mine" />);
    await waitFor(() => expect(names()).toEqual(["a.pdf"]));
    expect(screen.queryByRole("searchbox")).toBe(null);
    fireEvent.keyDown(grid(), { key: "End" });
    expect(container.querySelector("#mine")?.className).toBe("rp-files");
  });

  test("rows say what there is to say", async () => {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.parse(AT) + 90_000 });
    const at = (seconds: number): string => new Date(Date.parse(AT) + seconds * 1_000).toISOString();
    hub.put(statusOf("docs", [
      fileOf("ok", 1, "completed", { results: { chunks_created: 1_200, processing_duration: 0.05 }, warnings: ["a"], attempt: 2, max_attempts: 3 }),
      fileOf("broken", 2, "failed", { error: { type: "ParseError", message: "bad\ntable", stage: "chunking", retryable: false } }),
      fileOf("same", 3, "skipped", { reason: "duplicate", duplicate_of: "ok" }),
      fileOf("gone", 4, "cancelled", { requested_by: "admin" }),
      fileOf("again", 5, "queued", { attempt: 2, retry_at: at(100), error: { type: "Timeout", message: "too slow", retryable: true } }),
      fileOf("due", 6, "queued", { retry_at: at(10), error: { type: "Timeout", message: "too slow", retryable: true } }),
      fileOf("later", 7, "queued", { queue_position: 4, change: "modified" }),
      fileOf("wait", 8, "queued", { error: { type: "Timeout", message: "too slow", retryable: true } }),
      fileOf("run", 9, "processing", { estimated_duration: 200, processing_stage: "storing" }),
      fileOf("bare", 10, "failed", { name: "\u202eevil", path: "" }),
    ]));
    show(<FileList pipeline="docs" />);
    await waitFor(() => expect(rows().length).toBe(10));
    const text = (name: string): string => rows().find((row) => row.textContent?.includes(name))?.textContent ?? "";
    expect(text("ok.pdf")).toContain("1,200 chunks · 1 warning · attempt 2 of 3");
    expect(text("ok.pdf")).toContain("50 ms");
    expect(text("broken.pdf")).toContain("ParseError in chunking bad table");
    expect(text("same.pdf")).toContain("Duplicate same as ok");
    expect(text("gone.pdf")).toContain("by admin");
    expect(text("again.pdf")).toContain("Retry in 10 s attempt 2 · after Timeout: too slow");
    expect(text("due.pdf")).toContain("Retry due");
    expect(text("later.pdf")).toContain("Modified · 4 before it");
    expect(text("wait.pdf")).toContain("Waiting again");
    expect(text("run.pdf")).toContain("1 min 50 s left");
    expect(text("evil")).toContain("\uFFFDevil");
    expect(await violations()).toEqual([]);
  });

  test("what it is set to by its caller stays", async () => {
    hub.put(statusOf("docs", [fileOf("a", 1), fileOf("b", 2, "failed")]));
    const props: FileListProps = { pipeline: "docs", filter: "failed", search: "b" };
    show(<FileList {...props} />);
    await waitFor(() => expect(names()).toEqual(["b.pdf"]));
    fireEvent.click(screen.getByRole("button", { name: /^All/ }));
    expect(names()).toEqual(["b.pdf"]);
  });
});

describe("FileTimeline", () => {
  test("lists what happened, with reports of progress as one, and what happens", async () => {
    hub.file("docs", "a", "processing", { progress: 0.2, processing_stage: "extraction" });
    hub.file("docs", "a", "processing", { progress: 0.6, processing_stage: "extraction", current: 6, total: 10, unit: "pages" });
    hub.file("docs", "b", "completed");
    hub.file("docs", "a", "failed");
    show(<FileTimeline pipeline="docs" file="a" className="mine" />);
    const lines = (): string[] => screen.queryAllByRole("listitem").map((item) => `${item.querySelector("b")?.textContent}: ${item.querySelector("p")?.textContent}`);
    await waitFor(() => expect(lines()).toEqual([
      "Queued: ", "Extraction: ", "Extraction: 60 % · 6 of 10 pages · 2 progress reports", "Failed: ExtractionError in extraction: the table is broken",
    ]));
    await waitFor(() => expect(hub.sockets.size).toBe(1));
    await waitFor(() => expect(hub.subscribes.length).toBe(1));
    await act(() => new Promise((go) => setTimeout(go, 30)));
    act(() => hub.publish("docs", "file:retrying", { file: { id: "a", name: "a.pdf" }, attempt: 2, previous_state: "failed" }));
    await waitFor(() => expect(lines().at(-1)).toBe("Retrying: attempt 2"));
    expect(await violations()).toEqual([]);
  });

  test("takes in many reports of progress by work that does not grow with them", async () => {
    hub.file("docs", "a", "processing");
    let tell: (update: Update) => void = () => {};
    const store: PipelineStatusStore = {
      ...createPipelineStatusStore({ ...hub.options, pipelines: [] }),
      onUpdate: (listener) => {
        tell = listener;
        return () => {};
      },
    };
    render(<PipelineStatusProvider store={store}><FileTimeline pipeline="docs" file="a" /></PipelineStatusProvider>);
    await waitFor(() => expect(screen.queryAllByRole("listitem").length).toBe(2));
    const MANY = 20_000;
    let reads = 0;
    for (let sent = 0; sent < MANY; ) {
      act(() => {
        for (let of = 0; of < 100; of += 1) {
          sent += 1;
          const data = { pipeline_id: "docs", pipeline_type: "local_files", epoch: "e1", seq: 10 + sent, timestamp: AT, received_at: AT, file: { id: "a", name: "a.pdf" }, progress: sent / MANY };
          Object.defineProperty(data, "processing_stage", { enumerable: true, get: () => ((reads += 1), "chunking") });
          tell({ kind: "event", pipeline: "docs", event: { event: "file:progress", data }, anomalies: [] } as unknown as Update);
        }
      });
    }
    const lines = screen.getAllByRole("listitem");
    expect(lines.length).toBe(3);
    expect(lines[2]?.textContent).toContain("100 % · 20,000 progress reports");
    expect(reads).toBeLessThan(4 * MANY);
  });

  test("asks anew for the history when a state comes in place of events", async () => {
    hub.file("docs", "a", "processing");
    show(<FileTimeline pipeline="docs" file="a" />);
    await waitFor(() => expect(hub.subscribes.length).toBe(1));
    await waitFor(() => expect(screen.queryAllByRole("listitem").length).toBe(2));
    await act(() => new Promise((go) => setTimeout(go, 30)));
    // It happened while nothing could be heard.
    const missed = { event: "file:completed", data: { file: { id: "a", name: "a.pdf" }, epoch: "e1", seq: 9, timestamp: AT, results: {} } };
    hub.history.set("docs", [...(hub.history.get("docs") ?? []), missed]);
    act(() => hub.put(statusOf("docs", [fileOf("a", 9)])));
    await waitFor(() => expect(screen.queryAllByRole("listitem").map((item) => item.querySelector("b")?.textContent)).toEqual(["Queued", "Extraction", "Completed"]));
    act(() => hub.publish("docs", "file:retrying", { file: { id: "a", name: "a.pdf" }, attempt: 2, previous_state: "failed" }));
    await waitFor(() => expect(screen.queryAllByRole("listitem").length).toBe(4));
  });

  test("shows more on request, says when there is nothing, and why not", async () => {
    hub.history.set("docs", Array.from({ length: 15 }, (_, index) => ({
      event: index % 2 ? "file:processing" : "file:skipped", data: { file: { id: "a" }, epoch: "e1", seq: index + 1, timestamp: AT, reason: "duplicate" },
    })));
    show(<FileTimeline pipeline="docs" file="a" pageSize={10} />);
    fireEvent.click(await screen.findByRole("button", { name: "Show more" }));
    await waitFor(() => expect(screen.getAllByRole("listitem").length).toBe(15));
    document.body.replaceChildren();
    show(<FileTimeline pipeline="docs" file="none" />);
    expect(await screen.findByText("The hub keeps no history of this file.")).toBeDefined();
    hub.failing = () => Response.json(null, { status: 502 });
    show(<FileTimeline pipeline="docs" file="other" />);
    expect((await screen.findByRole("alert")).textContent).toBe("The history could not be loaded: HTTP 502");
  });
});

test("every text can be another, for all or for one", async () => {
  hub.put(statusOf("docs", [fileOf("a", 1, "failed"), ...Array.from({ length: 1_200 }, (_, index) => fileOf(`x${index}`, index + 2))]));
  show(
    <LabelsProvider labels={{ locale: "de", states: { failed: "Fehlgeschlagen" }, text: { files: "Dateien" } }}>
      <PipelineStatus pipeline="docs" labels={{ text: { finished: "Fertig" } }} />
      <FileList pipeline="docs" labels={{ states: { completed: "Erledigt" } }} filter="failed" />
    </LabelsProvider>,
  );
  await screen.findByRole("grid", { name: "Dateien" });
  const text = (await screen.findByText("Fertig")).closest("section")?.textContent ?? "";
  for (const part of ["Fehlgeschlagen", "1.201", "Completed"]) expect(text).toContain(part);
  expect(screen.getByRole("button", { name: /^Erledigt/ })).toBeDefined();
  expect(within(screen.getByRole("grid")).getAllByText("Fehlgeschlagen").length).toBeGreaterThan(0);
});
