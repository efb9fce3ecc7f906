// What a request of one's own rejects with.
//
// What may come in: what a hub said, or something before it. What it never does: hold more than that.
import type { Code } from "./generated/index.js";

/** What went wrong with a request of one's own. */
export class HubError extends Error {
  /** The status of HTTP. */
  readonly status: number;
  /** The hub's code, or null where it was no hub that answered. */
  readonly code: Code | null;

  constructor(message: string, status: number, code: Code | null) {
    super(message);
    this.name = "HubError";
    this.status = status;
    this.code = code;
  }
}
