// The state of one pipeline, from and to the payload of `pipeline:status`.
//
// What may come in: a payload that decode.ts has let through. What it never does: change the payload, or lose what it
// does not know: foreign keys stand beside the known ones.
import { FileTable } from "./files.js";
import type { Counts, Limits, OtherEvent, PipelineStatus } from "./generated/index.js";

/** The state of a pipeline. The reducer changes it in place; {@link toStatus} gives what may be handed out. */
export type PipelineState = Omit<PipelineStatus, "files"> & { files: FileTable };

/** How many open (queued; processing) and ended files a state lists unless a snapshot says otherwise. */
export const DEFAULT_LIMITS: Readonly<Limits> = Object.freeze({ open: 1000, ended: 200 });

/** No file in any state. */
export const noCounts = (): Counts => ({ queued: 0, processing: 0, completed: 0, failed: 0, skipped: 0, cancelled: 0 });

/** A copy without the fields that have no value: in the contract, null is the same as absent. */
const given = <T extends object>(json: T): T =>
  // `fromEntries` defines, where an assignment to a key such as `__proto__` would do something else.
  Object.fromEntries(Object.entries(json).filter(([, value]) => value !== null && value !== undefined)) as T;

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
    counts: noCounts(),
    files: new FileTable(),
    limits: DEFAULT_LIMITS,
  };
}

/** A state from the payload of `pipeline:status`, which is not changed. */
export const fromStatus = (json: PipelineStatus): PipelineState => ({
  ...given(json),
  counts: { ...json.counts },
  files: new FileTable(json.files.map(given)),
});

/** The payload of `pipeline:status` for a state. Files that have not changed are the same objects as the last time. */
export const toStatus = (state: PipelineState): PipelineStatus => ({
  ...state,
  counts: { ...state.counts },
  limits: { ...state.limits },
  files: state.files.inOrder(),
});
