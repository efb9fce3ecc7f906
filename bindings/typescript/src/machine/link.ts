// An open socket: the one question that may be open on it, and when its silence means that it is dead.
//
// What may come in: answers, late or to another question. What it never does: I/O; have two questions open at once, so
// that an answer's question is never in doubt.
import type { Cursor, PipelineId } from "../generated/index.js";

/** How long a socket with an open question may be silent. */
export const SILENCE_MS = 3_000;
/** How long a question may stay open, whatever else is heard. */
export const ANSWER_WITHIN_MS = 30_000;

/** What is asked for by a subscription: pipelines, each from a position. */
export type Asked = ReadonlyMap<PipelineId, Cursor | null>;

/** The open question. */
export type Question =
  | { readonly kind: "subscribe"; readonly all: boolean; readonly asked: Asked }
  | { readonly kind: "ping" };

/** What is to be asked next. */
export type Next =
  | { readonly kind: "subscribe"; readonly all: boolean; readonly pipelines: ReadonlySet<PipelineId> }
  | { readonly kind: "ping" };

/** An open socket. */
export class Link {
  /** Whether the hub has acknowledged the subscription on this socket. */
  subscribed = false;
  /** Whether the hub has answered a ping on this socket. */
  proven = false;
  #open: { readonly question: Question; asked: number } | null = null;
  #heard: number;
  #nextPing: number;
  #all = true;
  #resync = new Set<PipelineId>();
  /** Several at once were refused: each is asked for by itself, so that the others do not suffer for one. */
  #singly = false;
  /** Resyncs rest until then: earlier ones brought nothing. */
  #resyncAt: number;

  /** A socket that was just opened: everything is to be subscribed to. */
  constructor(now: number) {
    this.#heard = now;
    this.#nextPing = now;
    this.#resyncAt = now;
  }

  /** Something came. */
  heard(now: number): void {
    this.#heard = Math.max(this.#heard, now);
  }

  /** Nothing was looked at for a while: an open question is as if asked now. */
  caughtUp(now: number): void {
    this.heard(now);
    if (this.#open) this.#open.asked = now;
  }

  /** Whether it still works shall be tried now. */
  doubt(now: number): void {
    this.#nextPing = Math.min(this.#nextPing, now);
  }

  /** Asks, or asks again, for one pipeline, not before a time. */
  resync(pipeline: PipelineId, at: number): void {
    this.#resync.add(pipeline);
    this.#resyncAt = Math.max(this.#resyncAt, at);
  }

  /** Asks no more for what is not followed any more. */
  keep(isFollowed: (pipeline: PipelineId) => boolean): void {
    for (const pipeline of this.#resync) if (!isFollowed(pipeline)) this.#resync.delete(pipeline);
  }

  /** Something of what was asked for was refused: each is asked for by itself, and so is what is not named. */
  askSingly(pipelines: Iterable<PipelineId>, all: boolean): void {
    this.#singly = true;
    this.#all = all;
    for (const pipeline of pipelines) this.#resync.add(pipeline);
  }

  /** Everything is to be subscribed to once more, by another right; what comes already goes on meanwhile. */
  subscribeAnew(): void {
    this.#singly = false;
    this.#all = true;
  }

  /** Whether each is asked for by itself. */
  get isSingly(): boolean {
    return this.#singly;
  }

  /** Whether nothing is to be asked for, or being asked. */
  get isAnswered(): boolean {
    return !this.#all && this.#resync.size === 0 && !this.#open;
  }

  /** There is nothing to subscribe to. */
  skipSubscription(): void {
    this.#all = false;
  }

  /** What to ask now: nothing while a question is open. Subscriptions come before pings. */
  next(now: number): Next | null {
    if (this.#open) return null;
    if (this.#all) return { kind: "subscribe", all: true, pipelines: new Set() };
    if (this.#resync.size > 0 && this.#resyncAt <= now) {
      const pipelines = this.#singly ? new Set([...this.#resync].slice(0, 1)) : this.#resync;
      return { kind: "subscribe", all: false, pipelines };
    }
    return this.#nextPing <= now ? { kind: "ping" } : null;
  }

  /** It is asked. */
  ask(question: Question, now: number): void {
    if (question.kind === "subscribe") {
      this.#all = false;
      this.#resync = new Set(question.all && !this.#singly ? [] : [...this.#resync].filter((id) => !question.asked.has(id)));
    }
    this.#open = { question, asked: now };
  }

  /** The answer to the open question, if it is of the right kind. */
  answered<K extends Question["kind"]>(kind: K, now: number, pingEveryMs: number): Extract<Question, { kind: K }> | null {
    this.heard(now);
    const question = this.#open?.question;
    if (question?.kind !== kind) return null;
    this.#open = null;
    if (kind === "ping") this.proven = true;
    // What was never tried is tried at once, so that a socket proves itself soon.
    this.#nextPing = this.proven ? now + pingEveryMs : now;
    return question as Extract<Question, { kind: K }>;
  }

  /** When silence becomes death; null while nothing is asked. */
  get deadAt(): number | null {
    if (!this.#open) return null;
    const { asked } = this.#open;
    return Math.min(Math.max(this.#heard, asked) + SILENCE_MS, asked + ANSWER_WITHIN_MS);
  }

  /** When there is something to do. */
  get deadline(): number {
    const resync = this.#resync.size > 0 ? this.#resyncAt : Infinity;
    return this.deadAt ?? Math.min(resync, this.#nextPing);
  }
}
