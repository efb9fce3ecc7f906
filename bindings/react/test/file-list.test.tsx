// The list of files, with a real store over a hub in memory.
import { createPipelineStatusStore, type FileStatus } from "@ragpulse/client";
import { act, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { type ReactElement, useState } from "react";
import { describe, expect, test, vi } from "vitest";

import { FileList, type FileListProps, FileRow } from "../src/components/index.js";
import { PipelineStatusProvider } from "../src/index.js";
import { AT, fileOf, statusOf } from "./hub.js";
import { hub, show, violations } from "./shown.js";

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
