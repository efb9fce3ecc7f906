// The codes of the contract's errors, and after which of them the same may succeed later.
//
// What may come in: any text. What it never does: take a code for one of ours that it does not know.
import type { Code } from "../generated/index.js";

// A record, so that a code the contract gains does not compile until it is named here.
const RETRYABLE: Readonly<Record<Code, boolean>> = {
  invalid_json: false,
  invalid_request: false,
  invalid_cursor: false,
  invalid_name: false,
  unauthorized: false,
  forbidden: false,
  foreign_origin: false,
  foreign_host: false,
  not_found: false,
  unknown_pipeline: false,
  method_not_allowed: false,
  type_conflict: false,
  body_too_large: false,
  batch_too_large: false,
  unsupported_media_type: false,
  invalid_event: false,
  unknown_event: false,
  reserved_field: false,
  pipeline_mismatch: false,
  limit_exceeded: true,
  internal: true,
  overloaded: true,
  closing: true,
  store_unavailable: true,
  store_full: true,
};

/** Whether the same may succeed later. */
export const isRetryable = (code: Code): boolean => isCode(code) && RETRYABLE[code];

/** Whether a text is a code of the contract. */
export const isCode = (text: unknown): text is Code => typeof text === "string" && Object.hasOwn(RETRYABLE, text);
