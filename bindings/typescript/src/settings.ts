// `status:update`: which keys a pipeline may set of its own status, and with what values.
//
// What may come in: any key, any JSON value. What it never does: let a pipeline set what the reducer keeps.
import { byCodePoint } from "./files.js";
import type { PipelineState } from "./state.js";
import { utc } from "./time.js";

/** How many keys of its own a pipeline may bring in by `status:update`. */
export const MAX_EXTRA_KEYS = 64;

/** What may be wrong with a key. */
export type KeyProblem = "reserved_key" | "bad_value" | "too_many_keys";

const RESERVED: ReadonlySet<string> = new Set([
  "counts", "pipeline_id", "pipeline_type", "epoch", "seq", "timestamp", "received_at", "liveness", "last_activity",
  "shutdown_at", "offline_reason", "lease_seconds", "limits", "reason", "seconds_until_next_check",
]);

const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

type Setting =
  | "status" | "check_interval" | "is_checking" | "watch_location" | "started_at" | "last_check_time" | "next_check_time";
/** Each reads its value, or gives `undefined` for one of another type. */
const SETTINGS: { readonly [K in Setting]: (value: unknown) => PipelineState[K] | undefined } = {
  status: text,
  check_interval: (value) => (typeof value === "number" && value >= 0 ? value : undefined),
  is_checking: (value) => (typeof value === "boolean" ? value : undefined),
  watch_location: text,
  started_at: utc,
  last_check_time: utc,
  next_check_time: utc,
};

const isSetting = (key: string): key is Setting => Object.hasOwn(SETTINGS, key);

function set<K extends Setting>(state: PipelineState, key: K, value: unknown): KeyProblem | undefined {
  if (value === null && key !== "status") {
    delete (state as Partial<PipelineState>)[key];
    return undefined;
  }
  const accepted = SETTINGS[key](value);
  if (accepted === undefined) return "bad_value";
  state[key] = accepted;
  return undefined;
}

function setOne(state: PipelineState, key: string, value: unknown): KeyProblem | undefined {
  if (key.startsWith("files") || key.startsWith("total_") || RESERVED.has(key)) return "reserved_key";
  if (isSetting(key)) return set(state, key, value);
  if (value === null) {
    state.extra.delete(key);
  } else if (state.extra.size >= MAX_EXTRA_KEYS && !state.extra.has(key)) {
    return "too_many_keys";
  } else {
    state.extra.set(key, value);
  }
  return undefined;
}

/** Sets keys of a pipeline's own status; tells which could not be. */
export function setKeys(
  state: PipelineState,
  changes: Readonly<Record<string, unknown>>,
  problem: (kind: KeyProblem, key: string) => void,
): void {
  // In order of the keys, because the order decides which ones find room.
  for (const key of Object.keys(changes).sort(byCodePoint)) {
    const kind = setOne(state, key, changes[key]);
    if (kind) problem(kind, key);
  }
}
