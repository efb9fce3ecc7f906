// How one event changes the state of a pipeline: the TypeScript counterpart of the reducer in the crate
// `ragpulse-protocol`.
//
// What may come in: a state and the next event of its sequence, known or not; whether it is the next one is session.ts's
// question. What it never does: I/O, read a clock, change the event, or fail: what does not fit is an anomaly.
//
// tests/fixtures holds what this and every other language's reducer must give.
import { FileTable } from "./files.js";
import type { Counts, EventPayloads, FileRef, FileState, FileStatus, OtherEvent, PreviousState } from "./generated/index.js";
import type { SequenceEvent } from "./messages.js";
import { type KeyProblem, setKeys } from "./settings.js";
import { noCounts, type PipelineState } from "./state.js";

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

/** Whether this is a failure, or a file that failed, for its reporter's silence. */
const isInterruption = (it: object): boolean =>
  (it as Partial<EventPayloads["file:failed"]>).error?.type === "Interrupted";

/** Where a listed file stands, in the words of `previous_state`, which knows interrupted files. */
const asPrevious = (file: FileStatus): PreviousState =>
  file.state === "failed" && isInterruption(file) ? "interrupted" : file.state;

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

type Kept = "id" | "name" | "state" | "seq" | "attempt" | "path" | "size" | "mime_type" | "max_attempts";
type OfAnAttempt = Exclude<keyof FileStatus, Kept>;
/** What is known of a file only during one attempt. A field the contract gains does not compile until it has its place. */
const OF_AN_ATTEMPT: Readonly<Record<OfAnAttempt, true>> = {
  change: true, queue_position: true, queued_at: true, started_at: true, completed_at: true, processing_stage: true,
  estimated_duration: true, progress: true, current: true, total: true, unit: true, eta_seconds: true, results: true,
  error: true, warnings: true, reason: true, duplicate_of: true, message: true, retry_at: true, requested_by: true,
};

/** A file in its next state: of what was known of its attempt only what is inherited, and everything else. */
function fresh(data: FileData, state: FileState, before: FileStatus | undefined, inherited: OfAnAttempt[]): FileStatus {
  const { file: { id, name }, seq } = data;
  const isKept = ([key]: [string, unknown]): boolean =>
    !Object.hasOwn(OF_AN_ATTEMPT, key) || inherited.includes(key as OfAnAttempt);
  const kept = before && Object.fromEntries(Object.entries(before).filter(isKept));
  const next: FileStatus = { attempt: 1, ...kept, id, name, state, seq };
  setIfGiven(next, data.file, "path", "size", "mime_type");
  return next;
}

/** A file becomes queued or is processed. What waited goes on with its attempt; anything else begins a new one. */
function open(state: PipelineState, data: FileData, to: "queued" | "processing", attempt?: number | null): FileStatus {
  const before = state.files.get(data.file.id);
  move(state.counts, known(state, data), to);
  const waited = before?.state === "queued";
  const next = fresh(data, to, before, waited ? ["error", "change", "queued_at"] : ["error"]);
  next.attempt = attempt ?? (before ? before.attempt + (waited ? 0 : 1) : 1);
  return next;
}

/**
 * How a file ends, with what the event says of it. Nothing changes when it had ended before, unless that was for its
 * reporter's silence.
 */
const end =
  <K extends keyof FileStatus>(to: "completed" | "failed" | "skipped" | "cancelled", ...keys: K[]) =>
  (state: PipelineState, data: FileData & Given<FileStatus, K>, report: Report): void => {
    const before = state.files.get(data.file.id);
    const from = known(state, data);
    const isOpen = from === undefined || from === "queued" || from === "processing";
    // The real end replaces the one that a hub made because it heard nothing; a second such one says nothing new.
    if (!isOpen && (from !== "interrupted" || isInterruption(data))) {
      report("second_end", data.file.id);
      return;
    }
    if (from === "interrupted") lower(state as { total_failed: number }, "total_failed");
    // Skipping is how a file that needs no work is first heard of.
    if (from === undefined && to !== "skipped") report("never_opened", data.file.id);
    move(state.counts, from, to);
    if (to === "completed") state.total_processed += 1;
    if (to === "failed") state.total_failed += 1;
    const next = fresh(data, to, before, ["change", "queued_at", "started_at"]);
    setIfGiven(next, data.file, "started_at");
    setIfGiven(next, data, ...keys);
    next.completed_at = data.file.completed_at ?? data.timestamp;
    state.files.insert(next);
  };

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
    state.counts = noCounts();
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

  "file:completed": end("completed", "results", "warnings"),
  "file:failed": end("failed", "error", "warnings"),
  "file:skipped": end("skipped", "reason", "duplicate_of", "message"),
  "file:cancelled": end("cancelled", "requested_by"),

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
  if (state.liveness === "late" && !(event === "file:failed" && isInterruption(data))) state.liveness = "live";

  if (isKnown(event)) reduce(state, event, data, (kind, subject) => anomalies.push({ kind, seq: data.seq, subject }));
  state.files.evict(state.limits);
  return anomalies;
}
