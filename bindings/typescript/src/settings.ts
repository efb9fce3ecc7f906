// `status:update`: which keys a pipeline may set of its own status, and with what values.
//
// What may come in: any key, any JSON value. What it never does: let a pipeline set what the reducer keeps.
import { byCodePoint } from "./files.js";
import type { PipelineStatus } from "./generated/index.js";
import type { PipelineState } from "./state.js";
import { utc } from "./time.js";

/** How many keys of its own a pipeline may bring in by `status:update`. */
export const MAX_EXTRA_KEYS = 64;

/** What may be wrong with a key. */
export type KeyProblem = "reserved_key" | "bad_value" | "too_many_keys";

const RESERVED = [
  "counts", "pipeline_id", "pipeline_type", "epoch", "seq", "timestamp", "received_at", "liveness", "last_activity",
  "shutdown_at", "offline_reason", "lease_seconds", "limits", "reason", "seconds_until_next_check",
] as const;
type Setting = Exclude<keyof PipelineStatus, (typeof RESERVED)[number] | `files${string}` | `total_${string}`>;

const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);
/**
 * Each reads its value, or gives `undefined` for one of another type. A field the contract gains does not compile until
 * it is named here or is reserved.
 */
const SETTINGS: { readonly [K in Setting]: (value: unknown) => PipelineState[K] | undefined } = {
  status: text,
  check_interval: (value) => (typeof value === "number" && value >= 0 ? value : undefined),
  is_checking: (value) => (typeof value === "boolean" ? value : undefined),
  watch_location: text,
  started_at: utc,
  last_check_time: utc,
  next_check_time: utc,
};

const isReserved = (key: string): boolean => /^(files|total_)/.test(key) || (RESERVED as readonly string[]).includes(key);
const isSetting = (key: string): key is Setting => Object.hasOwn(SETTINGS, key);

function setOne(state: PipelineState, key: string, value: unknown): KeyProblem | undefined {
  if (isReserved(key)) return "reserved_key";
  const isKnown = isSetting(key);
  if (value === null && key !== "status") {
    Reflect.deleteProperty(state, key);
    return undefined;
  }
  const accepted = isKnown ? SETTINGS[key](value) : value;
  if (accepted === undefined) return "bad_value";
  if (!isKnown && !Object.hasOwn(state, key)) {
    const foreign = Object.keys(state).filter((own) => !isReserved(own) && !isSetting(own));
    if (foreign.length >= MAX_EXTRA_KEYS) return "too_many_keys";
  }
  // Not an assignment: the key may be `__proto__`.
  Object.defineProperty(state, key, { value: accepted, enumerable: true, configurable: true, writable: true });
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
