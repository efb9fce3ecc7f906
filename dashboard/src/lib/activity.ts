// What has happened in each pipeline in the last minutes: counted as it happens, for the plots.
//
// What may come in: the updates of a store. What it never does: hold on to files or events; count a replay as if it
// happened now.
import type { PipelineStatusStore } from "@ragpulse/client";
import { Meter, Samples } from "./rates.js";

const ENDS: ReadonlySet<string> = new Set(["file:completed", "file:failed", "file:skipped", "file:cancelled"]);

/** The meters of one pipeline. Times are the hub's. */
export interface PipelineActivity {
  /** Files that came to an end, at the time the hub heard of it. */
  ended: Meter;
  /** Those of them that failed. */
  failed: Meter;
  /** Events, when they came here. */
  readonly events: Meter;
  /** From the hub's receiving an event to its coming here, in milliseconds. */
  readonly latency: Samples;
  /** Since when events are counted, in milliseconds; before that there may have been any. */
  readonly since: number;
  /** Since when all ends of files are known; a state lists the last ones only. */
  endsSince: number;
}

/** The meters of all pipelines of a store. */
export class Activity {
  readonly #store: PipelineStatusStore;
  readonly #byPipeline = new Map<string, PipelineActivity>();
  readonly #replaced = new Set<string>();
  /** Since when the socket stands, by this machine's clock; null while it does not. */
  #liveSince: number | null;

  constructor(store: PipelineStatusStore) {
    this.#store = store;
    this.#liveSince = store.connection.state === "websocket" ? Date.now() : null;
  }

  /** The hub's time, in milliseconds since 1970, as far as it is known. */
  now(): number {
    return Date.now() + this.#store.vitals.clockOffsetMs;
  }

  /** The meters of a pipeline. */
  of(pipeline: string): PipelineActivity {
    let activity = this.#byPipeline.get(pipeline);
    if (!activity) {
      activity = { ended: new Meter(), failed: new Meter(), events: new Meter(), latency: new Samples(), since: this.now(), endsSince: 0 };
      this.#byPipeline.set(pipeline, activity);
    }
    return activity;
  }

  /** Counts until the function that it gives is called. */
  watch(): () => void {
    const store = this.#store;
    const stopUpdates = store.onUpdate((update) => {
      if (update.kind === "removed" || update.kind === "reset") this.#byPipeline.delete(update.pipeline);
      if (update.kind === "snapshot") this.#replaced.add(update.pipeline);
      if (update.kind === "connection") {
        // Told at once, while the store's own answer changes with the next frame.
        this.#liveSince = update.status.state === "websocket" ? (this.#liveSince ?? Date.now()) : null;
      }
      if (update.kind !== "event") return;
      const { ended, failed, events, latency } = this.of(update.pipeline);
      const now = this.now();
      const received = Date.parse(update.event.data.received_at);
      events.add(now);
      if (ENDS.has(update.event.event)) ended.add(received);
      if (update.event.event === "file:failed") failed.add(received);
      // What the hub had before the socket stood is caught up with, also where it comes after that; and a poll waits.
      if (this.#liveSince !== null && received >= this.#liveSince + store.vitals.clockOffsetMs) {
        latency.add(now, Math.max(0, now - received));
      }
    });
    // A snapshot can be read once listeners are told of it.
    const stopFrames = store.subscribe(() => {
      for (const pipeline of this.#replaced) this.#begin(pipeline);
      this.#replaced.clear();
    });
    return () => {
      stopUpdates();
      stopFrames();
    };
  }

  /** What a snapshot tells of the last minutes, in place of what was counted before. */
  #begin(pipeline: string): void {
    const activity = this.of(pipeline);
    activity.ended = new Meter();
    activity.failed = new Meter();
    const snapshot = this.#store.getSnapshot(pipeline);
    let [ends, oldest] = [0, Infinity];
    for (const { state, completed_at: at } of snapshot?.files ?? []) {
      if (!at) continue;
      ends += 1;
      oldest = Math.min(oldest, Date.parse(at));
      activity.ended.add(Date.parse(at));
      if (state === "failed") activity.failed.add(Date.parse(at));
    }
    activity.endsSince = snapshot && ends >= snapshot.limits.ended ? oldest : 0;
  }
}
