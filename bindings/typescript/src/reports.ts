// What this client tells the hub of how it fares (`client:status`), for the hub's metrics: by what it is connected, why
// and for how long not by socket, how long a round trip takes, and how long an event takes until it is painted.
//
// What may come in: what the store tells. What it never does: tell anything about files or people; cost anything while
// nothing happens but a timer every half minute.
import type { Activity, ClientStatus } from "./generated/index.js";
import type { ConnectionStatus } from "./machine/io.js";
import type { PipelineStatusStore } from "./store.js";

/** How often it is told. */
const EVERY_MS = 30_000;

type Report = Omit<ClientStatus, "client_id">;

/** Whether it was closed for good; after a refusal it may be tried anew. */
const isOver = ({ cause }: ConnectionStatus): boolean => cause?.kind === "closed";

/** Whether somebody is looking. A program without a page is active. */
function activity(): Activity {
  const page = (globalThis as { document?: Document }).document;
  if (!page) return "active";
  return page.visibilityState === "hidden" ? "background" : page.hasFocus() ? "active" : "idle";
}

/** Calls back when what was drawn in this frame has been painted. */
const painted = (callback: () => void): void => {
  if (typeof requestAnimationFrame !== "function") return;
  requestAnimationFrame(() => setTimeout(callback));
};

/** Tells the hub until the store is closed; nothing while the hub refuses. */
export function report(store: PipelineStatusStore, send: (report: Report) => void): void {
  let since: number | null = null;
  /** Of the events since the last report, the times of one by chance, so that no kind of moment is preferred. */
  let paint: number | null = null;
  let seen = 0;
  let newest: string | null = null;
  /** Since when events come as they happen, by this machine's clock; what was missed before is caught up with first. */
  let live = store.connection.state === "websocket" ? Date.now() : Infinity;
  /** Changes with each time somebody begins or ceases to look: between two frames may then be any time. */
  let looks = 0;

  const tell = (more: Partial<Report> = {}): void => {
    const { state } = store.connection;
    if (state !== "websocket" && state !== "polling") return;
    const { latencyMs } = store.vitals;
    const report: Report = { status: activity(), timestamp: new Date().toISOString(), transport: state, ...more };
    if (latencyMs !== null) report.latency_ms = Math.round(latencyMs);
    if (paint !== null) report.paint_latency_ms = Math.round(paint);
    paint = null;
    seen = 0;
    send(report);
  };

  const connected = (): void => {
    const { state, cause: why } = store.connection;
    if (state === "polling") {
      if (since !== null) return;
      since = performance.now();
      tell({ fallback_cause: why?.kind ?? "other" });
    } else if (state === "websocket") {
      // Its cause was told when it began.
      const dwell = since === null ? {} : { fallback_dwell_ms: Math.round(performance.now() - since) };
      since = null;
      tell(dwell);
    }
  };

  const stopUpdates = store.onUpdate((update) => {
    if (update.kind === "event") {
      const { received_at: at } = update.event.data;
      if (Date.parse(at) - store.vitals.clockOffsetMs >= live) newest = at;
    }
    if (update.kind !== "connection") return;
    live = update.status.state === "websocket" ? Date.now() : Infinity;
    if (isOver(update.status)) stop();
  });
  let told = store.connection;
  const stopFrames = store.subscribe(() => {
    const { connection } = store;
    if (connection.state !== told.state) connected();
    told = connection;
    if (newest === null || activity() === "background") return;
    const published = Date.parse(newest);
    newest = null;
    const look = looks;
    painted(() => {
      if (look !== looks) return;
      seen += 1;
      // At least 0: the clocks are only known to half a round trip.
      if (Math.random() * seen < 1) paint = Math.max(Date.now() + store.vitals.clockOffsetMs - published, 0);
    });
  });
  const timer = setInterval(() => tell(), EVERY_MS);
  // In Node it keeps no program alive.
  (timer as { unref?: () => void }).unref?.();
  const page = (globalThis as { document?: Document }).document;
  const looked = (): void => {
    looks += 1;
    tell();
  };
  page?.addEventListener("visibilitychange", looked);

  function stop(): void {
    stopUpdates();
    stopFrames();
    clearInterval(timer);
    page?.removeEventListener("visibilitychange", looked);
  }
  if (isOver(told)) stop();
  else connected();
}
