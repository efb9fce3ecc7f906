// Every component in the states that matter, fed by a hub in memory: what a person looks at before a change goes out.
import "../styles.css";
import "./gallery.css";

import { createPipelineStatusStore, type Cause, type ConnectionState, type PipelineStatusStore } from "@ragpulse/client";
import { type ReactElement, StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";

import { ConnectionIndicator, FileList, FileTimeline, PipelineStatus, StageProgress } from "../src/components/index.js";
import { PipelineStatusProvider } from "../src/index.js";
import { fileOf, Hub, statusOf } from "../test/hub.js";

const hub = new Hub();
const now = Date.now();
const ago = (seconds: number): string => new Date(now - seconds * 1_000).toISOString();
const NAMES = ["survey", "travel-expenses", "meeting-minutes", "incident-review", "handbook", "policy", "runbook", "contract"];
const STATES = ["completed", "completed", "completed", "completed", "skipped", "completed", "failed", "completed"] as const;
const TOTAL = 10_000;

const all = Array.from({ length: TOTAL }, (_, index) => {
  const stem = `${NAMES[(index * 7) % NAMES.length]}-${String(index).padStart(4, "0")}`;
  const state = index >= TOTAL - 60 ? "queued" : index >= TOTAL - 64 ? "processing" : (STATES[(index * 5 + (index >> 3)) % STATES.length] ?? "completed");
  const ended = ago((TOTAL - index) * 0.6);
  return fileOf(stem, index + 2, state, {
    path: `${["sales", "research", "hr"][index % 3]}/2025-${String((index % 12) + 1).padStart(2, "0")}/${stem}.pdf`,
    queued_at: ago(90), started_at: ago((TOTAL - index) * 0.6 + 0.4), completed_at: ended,
    ...(state === "completed" && { results: { chunks_created: (index * 13) % 40 + 1, processing_duration: ((index * 37) % 900) / 1_000 + 0.05 } }),
    ...(state === "failed" && {
      error: { type: "ExtractionError", message: "PDF: failed parsing cross reference table: invalid start value", stage: "extraction", retryable: false },
    }),
    ...(state === "skipped" && { reason: "duplicate", duplicate_of: "handbook-0004.pdf" }),
    ...(state === "queued" && { queue_position: index - (TOTAL - 60), change: "modified" as const }),
    ...(state === "processing" && {
      started_at: ago(12 + index % 7), processing_stage: ["extraction", "chunking", "embedding", "storing"][index % 4] ?? "embedding",
      progress: [0.91, 0.4, 0.62, 0.15][index % 4] ?? 0, current: 42, total: 46, unit: "pages" as const, eta_seconds: 14 + index % 9,
    }),
  });
});
const open = all.filter(({ state }) => state === "queued" || state === "processing");
const ended = all.filter(({ state }) => state !== "queued" && state !== "processing").slice(-200);
const more = {
  status: "running", watch_location: "/srv/company-documents", started_at: ago(7_380), next_check_time: new Date(now + 48_000).toISOString(),
  last_activity: ago(1), check_interval: 60,
};
hub.files.set("local-files-pipeline", all);
hub.put({ ...statusOf("local-files-pipeline", all, more), files: [...ended, ...open] });
hub.put(statusOf("google-drive-pipeline", all.slice(0, 420), { ...more, pipeline_type: "google_drive", liveness: "late", last_activity: ago(75), watch_location: "Shared drive / Contracts" }));
hub.put(statusOf("wiki-pipeline", all.slice(0, 3), {
  pipeline_type: "wiki", liveness: "offline", status: "offline", shutdown_at: ago(4_000), offline_reason: "stopped", last_activity: ago(4_000),
}));
const watched = open.find(({ state }) => state === "processing")?.id ?? "";
for (const [event, data] of [
  ["file:queued", { change: "created", timestamp: ago(95) }],
  ["file:processing", { processing_stage: "extraction", timestamp: ago(60) }],
  ["file:progress", { processing_stage: "extraction", progress: 0.4, timestamp: ago(58) }],
  ["file:progress", { processing_stage: "extraction", progress: 1, current: 46, total: 46, unit: "pages", timestamp: ago(50) }],
  ["file:failed", { error: { type: "EmbeddingError", message: "the model did not answer within 30 s", stage: "embedding", retryable: true }, timestamp: ago(40) }],
  ["file:retrying", { attempt: 2, timestamp: ago(39) }],
  ["file:processing", { processing_stage: "embedding", timestamp: ago(20) }],
  ["file:progress", { processing_stage: "embedding", progress: 0.62, current: 31, total: 50, unit: "chunks", timestamp: ago(1) }],
] as const) {
  const events = hub.history.get("local-files-pipeline") ?? [];
  hub.history.set("local-files-pipeline", [...events, {
    event, data: { file: { id: watched, name: watched }, epoch: "e1", seq: events.length + 1, ...data },
  }]);
}

/** A store that stands in some state of its connection. */
function standing(state: ConnectionState, cause: Cause | null, latencyMs: number | null, heardMsAgo: number | null): PipelineStatusStore {
  const store = createPipelineStatusStore({ ...hub.options, pipelines: [] });
  return {
    ...store, pipelines: [], connection: { state, cause },
    vitals: { latencyMs, heardAt: heardMsAgo === null ? null : Date.now() - heardMsAgo, clockOffsetMs: 0 },
  };
}
const CONNECTIONS: readonly (readonly [ConnectionState, Cause | null, number | null, number | null])[] = [
  ["connecting", null, null, null],
  ["websocket", null, 24, 400],
  ["polling", { kind: "refused", message: "websocket error" }, 31, 3_000],
  ["polling", { kind: "advised" }, 28, 1_000],
  ["waiting", { kind: "failed", message: "fetch failed: connect ECONNREFUSED" }, 24, 42_000],
  ["waiting", { kind: "offline", message: "Failed to fetch" }, 24, 95_000],
  ["closed", { kind: "rejected", code: "unauthorized", message: "the token has ended" }, null, null],
];
const base = fileOf("quarterly-report", 1, "processing", { started_at: ago(9) });
const FILES = [
  { ...base, processing_stage: "embedding", progress: 0.42, current: 21, total: 50, unit: "chunks" as const, eta_seconds: 12 },
  { ...base, processing_stage: "extraction" },
  { ...base, processing_stage: "ocr", progress: 0.3 },
  { ...base, processing_stage: "storing", progress: 0.8, estimated_duration: 40 },
];

function Gallery(): ReactElement {
  const [selected, setSelected] = useState<string | null>(null);
  return (
    <main className="gallery">
      <header>
        <strong>@ragpulse/react</strong>
        <ConnectionIndicator />
      </header>
      <PipelineStatus pipeline="local-files-pipeline" headingLevel={1} />
      <FileList pipeline="local-files-pipeline" selected={selected} onSelect={({ id }) => setSelected(id)} style={{ marginTop: 16 }} />
      <div className="columns">
        <section>
          <h2 className="title">FileTimeline</h2>
          <FileTimeline pipeline="local-files-pipeline" file={selected ?? watched} />
        </section>
        <section>
          <h2 className="title">StageProgress</h2>
          <div className="stack">{FILES.map((file, index) => <StageProgress key={index} file={file} isDetailed />)}</div>
        </section>
      </div>
      <h2 className="title">PipelineStatus</h2>
      <div className="columns">
        <PipelineStatus pipeline="google-drive-pipeline" />
        <PipelineStatus pipeline="wiki-pipeline" />
        <PipelineStatus pipeline="unheard-of" />
      </div>
      <h2 className="title">ConnectionIndicator</h2>
      <div className="columns">
        {CONNECTIONS.map((standingAt, index) => (
          <PipelineStatusProvider key={index} store={standing(...standingAt)}><div className="stack"><ConnectionIndicator variant="full" /></div></PipelineStatusProvider>
        ))}
      </div>
    </main>
  );
}

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <PipelineStatusProvider {...hub.options}><Gallery /></PipelineStatusProvider>
  </StrictMode>,
);
