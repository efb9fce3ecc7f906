// From what came over the wire to a message: the one place where JSON is looked at before it is believed.
//
// What may come in: anything at all. What it never does: throw; refuse a name or a field that it does not know; let
// through what the reducer could not fold. It is loaded together with what brings messages.
import type { Counts, MessagePayloads, PreviousState } from "./generated/index.js";
import type { Message } from "./messages.js";

/** What came, as far as it can be read. */
export type Decoded =
  | { readonly kind: "message"; readonly message: Message }
  /** It is no message of the contract; of this pipeline, if that can be told. */
  | { readonly kind: "bad"; readonly pipeline: string | null }
  /** Something of a later version that is about no pipeline. */
  | { readonly kind: "foreign" };

/** A JSON object of which nothing is known yet. */
export type Json = Readonly<Record<string, unknown>>;
type Check = (data: Json) => boolean;

/** Whether a value is a JSON object. */
export const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === "string";
const isNumber = (value: unknown): value is number => typeof value === "number";
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const orAbsent = (value: unknown, check: (value: unknown) => boolean): boolean => value === undefined || value === null || check(value);

const COUNTED: readonly string[] = ["queued", "processing", "completed", "failed", "skipped", "cancelled"] satisfies (keyof Counts)[];
const isPrevious = (value: unknown): boolean => value === ("interrupted" satisfies PreviousState) || COUNTED.includes(value as string);

const hasPosition: Check = ({ pipeline_id, pipeline_type, epoch, seq }) =>
  isText(pipeline_id) && isText(pipeline_type) && isText(epoch) && isCount(seq);
const isInSequence: Check = (data) =>
  hasPosition(data) && data["seq"] !== 0 && isText(data["timestamp"]) && isText(data["received_at"]);
const hasFile: Check = ({ file, previous_state, attempt }) =>
  isObject(file) && isText(file["id"]) && isText(file["name"]) && orAbsent(attempt, isNumber) &&
  orAbsent(previous_state, isPrevious);
const isListedFile = (file: unknown): boolean =>
  isObject(file) && isText(file["id"]) && isText(file["name"]) && isText(file["state"]) && isCount(file["seq"]) &&
  isNumber(file["attempt"]) && orAbsent(file["error"], isObject);

/** Beyond the shared fields, what the reducer reads of each event. */
const EVENTS: Readonly<Record<string, Check>> = {
  "file:progress": (data) => hasFile(data) && isNumber(data["progress"]),
  "file:completed": (data) => hasFile(data) && isObject(data["results"]),
  "file:failed": (data) => hasFile(data) && isObject(data["error"]) && isText(data["error"]["type"]),
  "file:queued": hasFile,
  "file:processing": hasFile,
  "file:retrying": hasFile,
  "file:skipped": hasFile,
  "file:cancelled": hasFile,
  "file:deleted": hasFile,
  "status:update": ({ changes }) => isObject(changes),
  "pipeline:online": () => true,
  "pipeline:offline": ({ reason }) => isText(reason),
  "pipeline:removed": () => true,
};

const MESSAGES: { readonly [K in keyof MessagePayloads]: Check } = {
  "pipeline:status": (data) => {
    const { counts, files, limits, liveness } = data;
    return (
      hasPosition(data) && isText(data["timestamp"]) && isText(liveness) &&
      isObject(counts) && COUNTED.every((state) => isCount(counts[state])) &&
      isCount(data["total_processed"]) && isCount(data["total_failed"]) &&
      isObject(limits) && isCount(limits["open"]) && isCount(limits["ended"]) &&
      Array.isArray(files) && files.every(isListedFile)
    );
  },
  "heartbeat": (data) => hasPosition(data) && isText(data["liveness"]),
  "subscription:ended": ({ pipeline_id, code }) => isText(pipeline_id) && isText(code),
  "hub:closing": ({ retry_after_ms }) => isNumber(retry_after_ms) && retry_after_ms >= 0,
};

const own = <T>(table: Readonly<Record<string, T>>, key: string): T | undefined =>
  Object.hasOwn(table, key) ? table[key] : undefined;

/** Reads what came under a name. */
export function decode(event: string, data: unknown): Decoded {
  const message = own<Check>(MESSAGES, event);
  const known = own(EVENTS, event);
  if (isObject(data)) {
    const good = message ? message(data) : isInSequence(data) && (known?.(data) ?? true);
    if (good) return { kind: "message", message: { event, data } };
    if (isText(data["pipeline_id"]) && (message || known || "seq" in data)) return { kind: "bad", pipeline: data["pipeline_id"] };
  }
  return message || known ? { kind: "bad", pipeline: null } : { kind: "foreign" };
}
