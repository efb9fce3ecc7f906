// What a program sees of the pipelines it follows: snapshots that never change, and one notification a frame.
//
// What may come in: updates in their order, at any rate. What it never does: change a snapshot that it has handed out;
// hand out another object where nothing has changed; let one listener's failure keep the others from being told.
import { Frames } from "./frames.js";
import type { FileStatus, PipelineId, PipelineStatus } from "./generated/index.js";
import type { ConnectionStatus, Update } from "./machine/io.js";
import { type PipelineState, toStatus } from "./state.js";

/** How the connection to the hub fares. */
export interface Vitals {
  /** When anything came from the hub last, in milliseconds since 1970 by this machine's clock; null before. */
  readonly heardAt: number | null;
  /** How long the last round trip took, in milliseconds; null before. */
  readonly latencyMs: number | null;
  /** What to add to this machine's clock to get the hub's, in milliseconds; 0 until that is known. */
  readonly clockOffsetMs: number;
}

/** The pipelines that are followed, as they stand. Its functions may be passed on without it. */
export interface PipelineStatusStore {
  /** By what updates come, and why not better. */
  readonly connection: ConnectionStatus;
  /** The ids of the pipelines that are followed, in order; one of them may have no state (yet). The same array until it changes. */
  readonly pipelines: readonly PipelineId[];
  /** How the connection fares, as of the last notification. */
  readonly vitals: Vitals;
  /**
   * The state of a pipeline as it was told last, or null where there is none (yet). The same object until listeners are
   * told of a change; in it, files that have not changed are the same objects too.
   */
  readonly getSnapshot: (pipeline: PipelineId) => PipelineStatus | null;
  /**
   * A file as the snapshot of its pipeline lists it, or null: it may be unknown, or beyond what snapshots list. The same
   * object until it changes.
   */
  readonly getFile: (pipeline: PipelineId, file: string) => FileStatus | null;
  /** Calls back when a snapshot or the connection has changed, at most once a frame. Gives how to end it. */
  readonly subscribe: (listener: () => void) => () => void;
  /** Calls back at once with everything that happens: each event once and in order. Gives how to end it. */
  readonly onUpdate: (listener: (update: Update) => void) => () => void;
  /**
   * Follows pipelines by their ids, beside those that are followed. Gives how to let them go; each is kept as long as
   * somebody wants it, and a few seconds longer.
   */
  readonly follow: (pipelines: readonly PipelineId[]) => () => void;
  /**
   * Tries whatever waits for a later time now, such as when a person asks for it. What the hub has refused is asked for
   * again, with the token as it is then: a store that was closed by a refusal opens anew and goes on where it stood.
   */
  readonly retry: () => void;
  /**
   * There is a fresh token: it is shown to the hub by the open socket, so that what goes on is not disturbed when the old
   * one ends, and what it allows beyond the old one is followed too. Where there is no socket, the same as `retry`.
   */
  readonly refreshToken: () => void;
  /**
   * What the hub serves at a path such as `/api/rag-status`, as JSON, asked for with the token. Rejects with a
   * {@link HubError} where it says no.
   */
  readonly request: (path: string, signal?: AbortSignal) => Promise<unknown>;
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

/** Where the states are. */
interface Source {
  readonly state: (pipeline: PipelineId) => PipelineState | null;
  readonly pipelines: () => PipelineId[];
}

/** Makes snapshots of states, and tells listeners. */
export class Snapshots {
  readonly #source: Source;
  readonly #frames = new Frames(() => this.#publish());
  readonly #listeners = new Set<() => void>();
  readonly #watchers = new Set<(update: Update) => void>();
  readonly #snapshots = new Map<PipelineId, PipelineStatus | null>();
  readonly #changed = new Set<PipelineId>();
  readonly #files = new WeakMap<PipelineStatus, Map<string, FileStatus>>();
  #heard: Vitals = { heardAt: null, latencyMs: null, clockOffsetMs: 0 };
  #current: ConnectionStatus = { state: "connecting", cause: null };
  #connection = this.#current;

  pipelines: readonly PipelineId[];
  vitals = this.#heard;

  constructor(source: Source) {
    this.#source = source;
    this.pipelines = source.pipelines().sort();
  }

  get connection(): ConnectionStatus {
    return this.#connection;
  }

  get(pipeline: PipelineId): PipelineStatus | null {
    let snapshot = this.#snapshots.get(pipeline);
    // One that has only just come is not among `pipelines` yet: both show it with the next frame.
    if (snapshot === undefined && this.#changed.has(pipeline) && !this.pipelines.includes(pipeline)) return null;
    if (snapshot === undefined) {
      const state = this.#source.state(pipeline);
      snapshot = state ? toStatus(state) : null;
      this.#snapshots.set(pipeline, snapshot);
    }
    return snapshot;
  }

  file(pipeline: PipelineId, id: string): FileStatus | null {
    const snapshot = this.get(pipeline);
    if (!snapshot) return null;
    let files = this.#files.get(snapshot);
    if (!files) {
      files = new Map(snapshot.files.map((file) => [file.id, file]));
      this.#files.set(snapshot, files);
    }
    return files.get(id) ?? null;
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

  /** Something came from the hub. */
  heard(latencyMs: number | null, hubTime: number | null): void {
    const now = Date.now();
    const { latencyMs: last, clockOffsetMs } = this.#heard;
    const offset = hubTime === null || latencyMs === null ? clockOffsetMs : hubTime + latencyMs / 2 - now;
    this.#heard = { heardAt: now, latencyMs: latencyMs ?? last, clockOffsetMs: offset };
    this.#frames.request();
  }

  /** Tells what has happened now, without waiting for a frame. */
  flush(): void {
    this.#frames.flush();
  }

  #publish(): void {
    for (const pipeline of this.#changed) this.#snapshots.delete(pipeline);
    this.#changed.clear();
    this.#connection = this.#current;
    this.vitals = this.#heard;
    const pipelines = this.#source.pipelines().sort();
    if (pipelines.join() !== this.pipelines.join()) this.pipelines = pipelines;
    for (const listener of [...this.#listeners]) guarded(listener);
  }
}
