// What a program sees of the pipelines it follows: snapshots that never change, and one notification a frame.
//
// What may come in: updates in their order, at any rate. What it never does: change a snapshot that it has handed out;
// hand out another object where nothing has changed; let one listener's failure keep the others from being told.
import { Frames } from "./frames.js";
import type { PipelineId, PipelineStatus } from "./generated/index.js";
import type { ConnectionStatus, Update } from "./machine/io.js";
import { type PipelineState, toStatus } from "./state.js";

/** The pipelines that are followed, as they stand. Its functions may be passed on without it. */
export interface PipelineStatusStore {
  /** By what updates come, and why not better. */
  readonly connection: ConnectionStatus;
  /**
   * The state of a pipeline as it was told last, or null where there is none (yet). The same object until listeners are
   * told of a change; in it, files that have not changed are the same objects too.
   */
  readonly getSnapshot: (pipeline: PipelineId) => PipelineStatus | null;
  /** Calls back when a snapshot or the connection has changed, at most once a frame. Gives how to end it. */
  readonly subscribe: (listener: () => void) => () => void;
  /** Calls back at once with everything that happens: each event once and in order. Gives how to end it. */
  readonly onUpdate: (listener: (update: Update) => void) => () => void;
  /** Ends it: nothing is tried again, and no timer, socket or request is left. */
  readonly close: () => void;
}

/** Fails where everybody sees it, and nobody else is kept from going on. */
function guarded<A extends unknown[]>(listener: (...args: A) => void, ...args: A): void {
  try {
    listener(...args);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/** Makes snapshots of states, and tells listeners. */
export class Snapshots {
  readonly #read: (pipeline: PipelineId) => PipelineState | null;
  readonly #frames = new Frames(() => this.#publish());
  readonly #listeners = new Set<() => void>();
  readonly #watchers = new Set<(update: Update) => void>();
  readonly #snapshots = new Map<PipelineId, PipelineStatus | null>();
  readonly #changed = new Set<PipelineId>();
  #current: ConnectionStatus = { state: "connecting", cause: null };
  #connection = this.#current;

  constructor(read: (pipeline: PipelineId) => PipelineState | null) {
    this.#read = read;
  }

  get connection(): ConnectionStatus {
    return this.#connection;
  }

  get(pipeline: PipelineId): PipelineStatus | null {
    let snapshot = this.#snapshots.get(pipeline);
    if (snapshot === undefined) {
      const state = this.#read(pipeline);
      snapshot = state ? toStatus(state) : null;
      this.#snapshots.set(pipeline, snapshot);
    }
    return snapshot;
  }

  subscribe(listener: () => void): () => void {
    // A function of its own, so that one listener may be there twice.
    const own = (): void => listener();
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  watch(listener: (update: Update) => void): () => void {
    const own = (update: Update): void => listener(update);
    this.#watchers.add(own);
    return () => this.#watchers.delete(own);
  }

  /** Something happened. */
  take(update: Update): void {
    if (update.kind === "connection") this.#current = update.status;
    else this.#changed.add(update.pipeline);
    this.#frames.request();
    for (const watcher of [...this.#watchers]) guarded(watcher, update);
  }

  /** Tells what has happened now, without waiting for a frame. */
  flush(): void {
    this.#frames.flush();
  }

  #publish(): void {
    for (const pipeline of this.#changed) this.#snapshots.delete(pipeline);
    this.#changed.clear();
    this.#connection = this.#current;
    for (const listener of [...this.#listeners]) guarded(listener);
  }
}
