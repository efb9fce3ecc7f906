// The state of one pipeline, from and to the payload of `pipeline:status`.
//
// What may come in: a payload that decode.ts has let through. What it never does: change the payload, or lose what it
// does not know: foreign keys are kept beside the known ones and written out again.
import { type FileEntry, FileTable } from "./files.js";
import type { FileStatus, Limits, OtherEvent, PipelineStatus } from "./generated/index.js";

/** The state of a pipeline. The reducer changes it in place; {@link toStatus} gives what may be handed out. */
export type PipelineState = Omit<PipelineStatus, "files"> & { files: FileTable; extra: Map<string, unknown> };

/** How many open (queued; processing) and ended files a state lists unless a snapshot says otherwise. */
export const DEFAULT_LIMITS: Readonly<Limits> = Object.freeze({ open: 1000, ended: 200 });

// Records, so that a field the contract gains does not compile until it is named here.
const STATUS_FIELDS = names<Record<keyof PipelineStatus, true>>({
  pipeline_id: true, pipeline_type: true, epoch: true, seq: true, timestamp: true, status: true, liveness: true,
  last_activity: true, started_at: true, shutdown_at: true, offline_reason: true, check_interval: true,
  watch_location: true, lease_seconds: true, is_checking: true, last_check_time: true, next_check_time: true,
  total_processed: true, total_failed: true, counts: true, files: true, limits: true, reason: true,
});
const FILE_FIELDS = names<Record<keyof FileStatus, true>>({
  id: true, name: true, state: true, seq: true, attempt: true, path: true, size: true, mime_type: true, change: true,
  queue_position: true, queued_at: true, started_at: true, completed_at: true, processing_stage: true,
  estimated_duration: true, progress: true, current: true, total: true, unit: true, eta_seconds: true, results: true,
  error: true, warnings: true, reason: true, duplicate_of: true, message: true, max_attempts: true, retry_at: true,
  requested_by: true,
});

function names<T extends object>(fields: T): ReadonlySet<string> {
  return new Set(Object.keys(fields));
}

/** The known fields that have a value, and the foreign ones. */
function split(json: object, fields: ReadonlySet<string>): [known: Record<string, unknown>, extra: Map<string, unknown>] {
  const known: Record<string, unknown> = {};
  const extra = new Map<string, unknown>();
  for (const [key, value] of Object.entries(json)) {
    if (!fields.has(key)) extra.set(key, value);
    else if (value !== undefined && value !== null) known[key] = value;
  }
  return [known, extra];
}

function join(value: object, fields: ReadonlySet<string>, extra: ReadonlyMap<string, unknown>): Record<string, unknown> {
  const json: Record<string, unknown> = {};
  for (const [key, own] of Object.entries(value)) if (fields.has(key) && own !== undefined) json[key] = own;
  for (const [key, own] of extra) {
    // Not an assignment: the key may be `__proto__`.
    Object.defineProperty(json, key, { value: own, enumerable: true, configurable: true, writable: true });
  }
  return json;
}

// The casts below are where JSON becomes the contract's types: decode.ts has looked at what the reducer reads.

function toEntry(json: FileStatus): FileEntry {
  const [known, extra] = split(json, FILE_FIELDS);
  return { ...(known as FileStatus), extra };
}

// An entry is never changed, so what is handed out of it can stay the same object too.
const written = new WeakMap<FileEntry, FileStatus>();

function fromEntry(file: FileEntry): FileStatus {
  let json = written.get(file);
  if (!json) {
    json = join(file, FILE_FIELDS, file.extra) as FileStatus;
    written.set(file, json);
  }
  return json;
}

/** The state before the first event of a sequence. */
export function opening({ pipeline_id, pipeline_type, epoch, timestamp }: OtherEvent): PipelineState {
  return {
    pipeline_id,
    pipeline_type,
    epoch,
    seq: 0,
    timestamp,
    status: "online",
    liveness: "live",
    last_activity: timestamp,
    total_processed: 0,
    total_failed: 0,
    counts: { queued: 0, processing: 0, completed: 0, failed: 0, skipped: 0, cancelled: 0 },
    files: new FileTable(),
    limits: DEFAULT_LIMITS,
    extra: new Map(),
  };
}

/** A state from the payload of `pipeline:status`, which is not changed. */
export function fromStatus(json: PipelineStatus): PipelineState {
  const [known, extra] = split(json, STATUS_FIELDS);
  return {
    ...(known as PipelineStatus),
    counts: { ...json.counts },
    files: new FileTable(json.files.map(toEntry)),
    extra,
  };
}

/** The payload of `pipeline:status` for a state. Files that have not changed are the same objects as the last time. */
export function toStatus(state: PipelineState): PipelineStatus {
  const json = join(state, STATUS_FIELDS, state.extra) as PipelineStatus;
  json.counts = { ...state.counts };
  json.limits = { ...state.limits };
  json.files = state.files.inOrder().map(fromEntry);
  return json;
}
