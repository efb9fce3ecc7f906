// The polls of a client: which are under way, which are due, and how long one rests that brought nothing or failed; and
// the questions which pipelines there are.
//
// What may come in: answers in any order, late ones too. What it never does: I/O; have two polls of one pipeline under
// way; have more than MAX_POLLS under way in all.
import type { Cursor, PipelineId } from "../generated/index.js";
import type { Backoff } from "./backoff.js";

/** The most polls under way at once. Browsers open six connections to a host, and the page needs some of them. */
export const MAX_POLLS = 4;
/** How long a hub is asked to hold an answer. With more pipelines than polls they take turns, and nothing is held. */
export const WAIT_SECONDS = 25;
/** The least time between two polls of one pipeline that bring nothing: a hub may answer without waiting. */
const LEAST_MS = 1_000;
/** The same where nothing is held: at least so much, and for many pipelines so much for each. */
const LEAST_UNHELD_MS = 2_000;
const LEAST_EACH_MS = 100;
/** How often the hub is asked which pipelines there are; more often while there are none, as somebody waits for the first. */
const LIST_MS = { some: 10_000, none: 2_000 } as const;

/** How often to poll where answers are not held, in milliseconds. */
export interface Intervals {
  /** While files are queued or processed. */
  readonly busyMs: number;
  /** While the pipeline lives and has nothing to do. */
  readonly idleMs: number;
  /** While the pipeline is offline, lost or not known. */
  readonly offlineMs: number;
}

interface Slot {
  /** The number of the poll that is under way, or null. */
  poll: number | null;
  /** When it was asked, or is due. */
  at: number;
  cursor: Cursor | null;
  failures: number;
  /** Whether it was not held because nobody knew whether polls work. */
  trial: boolean;
}

/** The polls of all pipelines. */
export class Polls {
  /** Whether the last answer was a good one; null before the first one. */
  healthy: boolean | null = null;
  readonly #slots = new Map<PipelineId, Slot>();
  readonly #mayHold: boolean;
  #last = 0;
  /** When to ask, or never while an answer is waited for. */
  #listAt = 0;
  #listFailures = 0;
  #list = 0;

  /** `mayHold`: whether the hub may hold its answers until there is news. */
  constructor(mayHold: boolean) {
    this.#mayHold = mayHold;
  }

  /** Gives the number of the question which pipelines there are, when it is due. */
  startList(now: number): number | null {
    if (this.#listAt > now) return null;
    this.#listAt = Infinity;
    this.#last += 1;
    this.#list = this.#last;
    return this.#last;
  }

  /** Whether the answer to this question is still waited for. */
  expectsList(list: number): boolean {
    return this.#listAt === Infinity && list === this.#list;
  }

  /** It was answered, or could not be; gives whether there is nothing else to tell by whether polls work. */
  listed(isGood: boolean, backoff: Backoff, now: number): boolean {
    const isAlone = this.#slots.size === 0;
    this.#listFailures = isGood ? 0 : this.#listFailures + 1;
    this.#listAt = now + (isGood ? LIST_MS[isAlone ? "none" : "some"] : backoff.after(this.#listFailures));
    if (isAlone) this.healthy = isGood;
    return isAlone;
  }

  /** Polls this too, from now on. */
  add(pipeline: PipelineId, now: number): void {
    if (!this.#slots.has(pipeline)) this.#slots.set(pipeline, { poll: null, at: now, cursor: null, failures: 0, trial: false });
  }

  /** Polls this no more. */
  remove(pipeline: PipelineId): void {
    this.#slots.delete(pipeline);
  }

  /** Polls nothing more; gives what it polled. */
  clear(): PipelineId[] {
    const pipelines = [...this.#slots.keys()];
    this.#slots.clear();
    this.healthy = null;
    this.#listAt = 0;
    return pipelines;
  }

  get #underWay(): number {
    let count = 0;
    for (const slot of this.#slots.values()) if (slot.poll !== null) count += 1;
    return count;
  }

  /** Starts the polls that are due, the longest due first. */
  startDue(
    now: number,
    cursor: (pipeline: PipelineId) => Cursor | null,
    start: (poll: number, pipeline: PipelineId, cursor: Cursor | null, waitSeconds: number) => void,
  ): void {
    const due = [...this.#slots].filter(([, slot]) => slot.poll === null && slot.at <= now).sort(([, a], [, b]) => a.at - b.at);
    for (const [pipeline, slot] of due.slice(0, Math.max(MAX_POLLS - this.#underWay, 0))) {
      this.#last += 1;
      slot.poll = this.#last;
      slot.at = now;
      slot.cursor = cursor(pipeline);
      // The first is not held, so that it is known at once whether polls work.
      slot.trial = this.healthy !== true;
      start(slot.poll, pipeline, slot.cursor, this.#isHeld && !slot.trial ? WAIT_SECONDS : 0);
    }
  }

  get #isHeld(): boolean {
    return this.#mayHold && this.#slots.size <= MAX_POLLS;
  }

  /** When the next poll is due, if one could be started. */
  deadline(isListing: boolean): number {
    const slots = this.#underWay < MAX_POLLS ? [...this.#slots.values()].filter((slot) => slot.poll === null) : [];
    return Math.min(isListing ? this.#listAt : Infinity, ...slots.map((slot) => slot.at));
  }

  /** Whether an answer is still waited for. */
  expects(pipeline: PipelineId, poll: number): boolean {
    return this.#slots.get(pipeline)?.poll === poll;
  }

  /** From where the poll that is under way asked. */
  askedFrom(pipeline: PipelineId): Cursor | null {
    return this.#slots.get(pipeline)?.cursor ?? null;
  }

  /** A good answer came; `news` says whether it brought anything, `pauseMs` how long to rest at least. */
  answered(pipeline: PipelineId, news: boolean, pauseMs: number, now: number): void {
    this.healthy = true;
    const slot = this.#slots.get(pipeline);
    if (!slot) return;
    const quiet = this.#isHeld ? (slot.trial ? 0 : LEAST_MS) : Math.max(LEAST_UNHELD_MS, this.#slots.size * LEAST_EACH_MS);
    slot.at = Math.max(now + pauseMs, news ? 0 : slot.at + quiet);
    slot.poll = null;
    slot.failures = 0;
  }

  /** It failed: it rests for longer each time, and at least as long as was asked. */
  failed(pipeline: PipelineId, retryAfterMs: number | null, backoff: Backoff, now: number): void {
    const slot = this.#slots.get(pipeline);
    if (!slot) return;
    slot.failures += 1;
    slot.poll = null;
    const asked = retryAfterMs === null ? 0 : backoff.spread(retryAfterMs);
    slot.at = now + Math.max(backoff.after(slot.failures), asked);
  }

  /** Those that rest are due now: there may be a network again, or somebody who looks. */
  hurry(now: number): void {
    for (const slot of this.#slots.values()) if (slot.poll === null) slot.at = Math.min(slot.at, now);
    if (this.#listAt < Infinity) this.#listAt = Math.min(this.#listAt, now);
  }
}
