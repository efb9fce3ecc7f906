// The apply rule (docs/spec/delivery.md), and one pipeline as one subscriber sees it.
//
// What may come in: messages of one pipeline from any transport, late, twice, or with holes between them. What it never
// does: I/O; fold an event twice or past a hole; ask for a resync while one is not answered.
import type { Cursor } from "./generated/index.js";
import { isMessage, isSequenceEvent, type Message } from "./messages.js";
import { type Anomaly, apply } from "./reducer.js";
import { fromStatus, opening, type PipelineState } from "./state.js";

/** What the rule says of a message. */
export type Verdict = "apply" | "replace" | "ignore" | "resync";

/** What a message led to. */
export interface Step {
  /** What the rule said of it. */
  readonly verdict: Verdict;
  /** What in it did not fit the state before it. */
  readonly anomalies: readonly Anomaly[];
}

/** The apply rule. `at` is the position of the state, or null where there is none. */
export function verdict(at: Cursor | null, message: Message): Verdict {
  if (isMessage(message, "heartbeat")) {
    const { epoch, seq } = message.data;
    // No state is a state at 0 of any epoch.
    return (!at || epoch === at.epoch) && seq > (at ? at.seq : 0) ? "resync" : "ignore";
  }
  if (isMessage(message, "pipeline:status")) {
    const { epoch, seq, reason } = message.data;
    // One that is not newer answers a question asked before the state came by another way.
    const stale = at !== null && epoch === at.epoch && seq <= at.seq;
    return stale && reason !== "ahead" ? "ignore" : "replace";
  }
  if (!isSequenceEvent(message)) return "ignore";
  const { epoch, seq } = message.data;
  if (!at) return seq === 1 ? "apply" : "resync";
  if (epoch !== at.epoch) return "resync";
  if (seq <= at.seq) return "ignore";
  return seq === at.seq + 1 ? "apply" : "resync";
}

const NOTHING: readonly Anomaly[] = Object.freeze([]);

/** One pipeline as one subscriber sees it: its state, kept by the rule. */
export class Session {
  #state: PipelineState | null = null;
  #resyncing = false;

  /** The state, or null. It is changed by what comes next. */
  get state(): PipelineState | null {
    return this.#state;
  }

  /** The position to resume from, or null. */
  get cursor(): Cursor | null {
    return this.#state && { epoch: this.#state.epoch, seq: this.#state.seq };
  }

  /** Whether a resync was asked for and has not been answered. */
  get isResyncing(): boolean {
    return this.#resyncing;
  }

  /** The answer to a resync is here, or the connection on which it was asked for is gone. */
  resynced(): void {
    this.#resyncing = false;
  }

  /** Drops the state: the hub does not know the pipeline (any more). */
  reset(): void {
    this.#state = null;
    this.#resyncing = false;
  }

  /** Does with a message what the rule says. `resync` is told once, until it is answered; then it is `ignore`. */
  handle(message: Message): Step {
    const said = verdict(this.cursor, message);
    if (said === "resync") {
      const first = !this.#resyncing;
      this.#resyncing = true;
      return { verdict: first ? "resync" : "ignore", anomalies: NOTHING };
    }
    if (said === "apply" && isSequenceEvent(message)) {
      this.#state ??= opening(message.data);
      const anomalies = apply(this.#state, message);
      if (message.event === "pipeline:removed") this.#state = null;
      return { verdict: said, anomalies };
    }
    if (said === "replace" && isMessage(message, "pipeline:status")) {
      this.#state = fromStatus(message.data);
      delete this.#state.reason;
      this.#resyncing = false;
    } else if (isMessage(message, "heartbeat") && this.#state) {
      // Liveness changes by the passing of time, which no event tells.
      const { epoch, seq, liveness } = message.data;
      if (epoch === this.#state.epoch && seq === this.#state.seq) this.#state.liveness = liveness;
    }
    return { verdict: said, anomalies: NOTHING };
  }
}
