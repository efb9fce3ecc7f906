// The components but the list of files, with a real store over a hub in memory.
import { type Cause, type ConnectionState, createPipelineStatusStore, type FileStatus, type PipelineStatusStore, type Update } from "@ragpulse/client";
import { act, fireEvent, render, screen, waitFor, within } from "@testing-library/react";
import { describe, expect, test, vi } from "vitest";

import {
  ConnectionIndicator, CountsBar, FileList, FileTimeline, LabelsProvider, PipelineStatus, StageProgress,
} from "../src/components/index.js";
import { PipelineStatusProvider } from "../src/index.js";
import { AT, fileOf, statusOf } from "./hub.js";
import { hub, show, violations } from "./shown.js";

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
    ["closed", { kind: "rejected", code: "unauthorized", message: "no token" }, "let this page in: no token. Sign in again", true],
    ["closed", { kind: "rejected", code: "unauthorized", message: "It has expired." }, "let this page in: It has expired. Sign in again", true],
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
