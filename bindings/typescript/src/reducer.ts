// How one event changes the state of a pipeline: the TypeScript counterpart of the reducer in the crate
// `ragpulse-protocol`.
//
// What may come in: a state and the next event of its sequence, known or not; whether it is the next one is session.ts's
// question. What it never does: I/O, read a clock, change the event, or fail: what does not fit is an anomaly.
//
// tests/fixtures holds what this and every other language's reducer must give.
import { type FileEntry, FileTable } from "./files.js";
import type { Counts, EventPayloads, FileRef, FileState, OtherEvent, PreviousState } from "./generated/index.js";
import type { SequenceEvent } from "./messages.js";
import { type KeyProblem, setKeys } from "./settings.js";
import type { PipelineState } from "./state.js";

/** What in an event did not fit the state before it. The event is counted all the same. */
export interface Anomaly {
  /** What it is. */
  readonly kind: "never_opened" | "second_end" | "progress_not_open" | KeyProblem;
  /** The event's place in the sequence. */
  readonly seq: number;
  /** The file's id, or the key. */
  readonly subject: string;
}

type Report = (kind: Anomaly["kind"], subject: string) => void;
type FileData = OtherEvent & { file: FileRef; previous_state?: PreviousState };
type Given<T, K extends keyof T> = { readonly [P in K]?: T[P] | null | undefined };

const INTERRUPTED = "Interrupted";

/** Where a listed file stands, in the words of `previous_state`, which knows interrupted files. */
const asPrevious = (file: FileEntry): PreviousState =>
  file.state === "failed" && file.error?.type === INTERRUPTED ? "interrupted" : file.state;

const asState = (from: PreviousState): FileState => (from === "interrupted" ? "failed" : from);

function setIfGiven<T extends object, K extends keyof T>(target: T, source: Given<T, K>, ...keys: K[]): void {
  for (const key of keys) {
    const value = source[key];
    if (value !== undefined && value !== null) target[key] = value;
  }
}

function set<T extends object, K extends keyof T>(target: T, source: Given<T, K>, ...keys: K[]): void {
  for (const key of keys) delete target[key];
  setIfGiven(target, source, ...keys);
}

function lower<K extends string>(counts: Record<K, number>, key: K): void {
  if (counts[key] > 0) counts[key] -= 1;
}

/** Where a file stood: by the list, else by what the hub says. */
function known(state: PipelineState, data: FileData): PreviousState | undefined {
  const listed = state.files.get(data.file.id);
  return listed ? asPrevious(listed) : (data.previous_state ?? undefined);
}

function move(counts: Counts, from: PreviousState | undefined, to: FileState): void {
  if (from !== undefined) lower(counts, asState(from));
  counts[to] += 1;
}

function fresh(data: FileData, state: FileState, before: FileEntry | undefined, inherited: (keyof FileEntry)[]): FileEntry {
  const { id, name } = data.file;
  const next: FileEntry = { id, name, state, seq: data.seq, attempt: 1, extra: before?.extra ?? new Map() };
  if (before) setIfGiven(next, before, "path", "size", "mime_type", "max_attempts", ...inherited);
  setIfGiven(next, data.file, "path", "size", "mime_type");
  return next;
}

/** A file becomes queued or is processed. What waited goes on with its attempt; anything else begins a new one. */
function open(state: PipelineState, data: FileData, to: "queued" | "processing", attempt?: number | null): FileEntry {
  const before = state.files.get(data.file.id);
  move(state.counts, known(state, data), to);
  const waited = before?.state === "queued";
  const next = fresh(data, to, before, waited ? ["error", "change", "queued_at"] : ["error"]);
  next.attempt = attempt ?? (before ? before.attempt + (waited ? 0 : 1) : 1);
  return next;
}

/** A file ends. Gives nothing when it had ended before, unless that was for its reporter's silence. */
function close(
  state: PipelineState,
  data: FileData,
  to: "completed" | "failed" | "skipped" | "cancelled",
  report: Report,
  interruption = false,
): FileEntry | undefined {
  const before = state.files.get(data.file.id);
  const from = known(state, data);
  const isOpen = from === undefined || from === "queued" || from === "processing";
  // The real end replaces the one that a hub made because it heard nothing; a second such one says nothing new.
  if (!isOpen && (from !== "interrupted" || interruption)) {
    report("second_end", data.file.id);
    return undefined;
  }
  if (from === "interrupted") lower(state as { total_failed: number }, "total_failed");
  // Skipping is how a file that needs no work is first heard of.
  if (from === undefined && to !== "skipped") report("never_opened", data.file.id);
  move(state.counts, from, to);
  const next = fresh(data, to, before, ["attempt", "change", "queued_at", "started_at"]);
  setIfGiven(next, data.file, "started_at");
  next.completed_at = data.file.completed_at ?? data.timestamp;
  return next;
}

const REDUCERS: { readonly [K in keyof EventPayloads]: (state: PipelineState, data: EventPayloads[K], report: Report) => void } = {
  "pipeline:online"(state, data) {
    state.pipeline_type = data.pipeline_type;
    state.status = "online";
    state.liveness = "live";
    state.started_at = data.started_at;
    delete state.shutdown_at;
    delete state.offline_reason;
    setIfGiven(state, data, "check_interval", "watch_location", "lease_seconds");
  },

  "pipeline:offline"(state, data) {
    state.status = "offline";
    state.liveness = data.reason === "timeout" ? "lost" : "offline";
    state.shutdown_at = data.shutdown_at;
    state.offline_reason = data.reason;
    if (state.is_checking !== undefined) state.is_checking = false;
    delete state.next_check_time;
  },

  // Whoever keeps a session drops the state after this; see Session.
  "pipeline:removed"(state) {
    state.status = "removed";
    state.liveness = "offline";
    state.files = new FileTable();
    state.counts = { queued: 0, processing: 0, completed: 0, failed: 0, skipped: 0, cancelled: 0 };
  },

  "status:update"(state, data, report) {
    setKeys(state, data.changes, report);
  },

  "file:queued"(state, data) {
    const next = open(state, data, "queued");
    set(next, data, "change", "queue_position");
    next.queued_at = data.timestamp;
    state.files.insert(next);
  },

  "file:processing"(state, data) {
    const next = open(state, data, "processing", data.attempt);
    next.started_at = data.file.started_at ?? data.timestamp;
    setIfGiven(next, data, "processing_stage", "estimated_duration");
    delete next.error;
    state.files.insert(next);
  },

  "file:retrying"(state, data) {
    const before = state.files.get(data.file.id);
    const next = open(state, data, "queued", data.attempt ?? (before && before.attempt + 1));
    next.queued_at = data.timestamp;
    set(next, data, "max_attempts", "retry_at");
    state.files.insert(next);
  },

  "file:progress"(state, data, report) {
    const before = state.files.get(data.file.id);
    if (before?.state !== "queued" && before?.state !== "processing") {
      report("progress_not_open", data.file.id);
      return;
    }
    const next = { ...before, progress: data.progress };
    setIfGiven(next, data, "processing_stage");
    // These speak of this stage and moment, so what is not said now is not known now.
    set(next, data, "current", "total", "unit", "eta_seconds");
    state.files.replace(next);
  },

  "file:completed"(state, data, report) {
    const next = close(state, data, "completed", report);
    if (!next) return;
    next.results = data.results;
    setIfGiven(next, data, "warnings");
    state.total_processed += 1;
    state.files.insert(next);
  },

  "file:failed"(state, data, report) {
    const next = close(state, data, "failed", report, data.error.type === INTERRUPTED);
    if (!next) return;
    next.error = data.error;
    setIfGiven(next, data, "warnings");
    state.total_failed += 1;
    state.files.insert(next);
  },

  "file:skipped"(state, data, report) {
    const next = close(state, data, "skipped", report);
    if (!next) return;
    setIfGiven(next, data, "reason", "duplicate_of", "message");
    state.files.insert(next);
  },

  "file:cancelled"(state, data, report) {
    const next = close(state, data, "cancelled", report);
    if (!next) return;
    setIfGiven(next, data, "requested_by");
    state.files.insert(next);
  },

  "file:deleted"(state, data) {
    const from = known(state, data);
    if (from !== undefined) lower(state.counts, asState(from));
    state.files.remove(data.file.id);
  },
};

const isKnown = (event: string): event is keyof EventPayloads => Object.hasOwn(REDUCERS, event);

function reduce<K extends keyof EventPayloads>(state: PipelineState, event: K, data: OtherEvent, report: Report): void {
  // The name says the type; decode.ts has looked.
  REDUCERS[event](state, data as EventPayloads[K], report);
}

/** Folds the next event into a state, which is changed, and gives what did not fit. */
export function apply(state: PipelineState, { event, data }: SequenceEvent): Anomaly[] {
  const anomalies: Anomaly[] = [];
  state.seq = data.seq;
  state.epoch = data.epoch;
  state.timestamp = data.timestamp;
  state.last_activity = data.received_at;
  delete state.reason;
  // Any event is a sign of life, but for the one that a hub makes because there was none.
  const interruption = event === "file:failed" && (data as EventPayloads["file:failed"]).error.type === INTERRUPTED;
  if (state.liveness === "late" && !interruption) state.liveness = "live";

  if (isKnown(event)) reduce(state, event, data, (kind, subject) => anomalies.push({ kind, seq: data.seq, subject }));
  state.files.evict(state.limits);
  return anomalies;
}
