// Who asked for which pipelines: each is followed as long as somebody does.
//
// What may come in: any number of callers, also for the same pipeline. What it never does: let go of a pipeline at once:
// who comes back soon, as pages do when they are drawn anew, finds it as it was.
import type { PipelineId } from "./generated/index.js";

/** How long a pipeline is kept that nobody asks for any more. */
const KEPT_MS = 5_000;

/** Counts who asked. */
export class Follows {
  readonly #held = new Map<PipelineId, number>();
  readonly #timers = new Map<PipelineId, ReturnType<typeof setTimeout>>();
  readonly #follow: (pipelines: PipelineId[]) => void;
  readonly #unfollow: (pipelines: PipelineId[]) => void;

  /** `listed`: those that are followed whether anybody asks or not. */
  constructor(listed: readonly PipelineId[], follow: (pipelines: PipelineId[]) => void, unfollow: (pipelines: PipelineId[]) => void) {
    for (const id of listed) this.#held.set(id, 1);
    this.#follow = follow;
    this.#unfollow = unfollow;
  }

  /** Asks for pipelines; gives how to let them go. */
  hold(pipelines: PipelineId[]): () => void {
    for (const id of pipelines) {
      clearTimeout(this.#timers.get(id));
      this.#timers.delete(id);
      this.#held.set(id, (this.#held.get(id) ?? 0) + 1);
    }
    this.#follow(pipelines);
    let held = true;
    return () => {
      if (held) for (const id of pipelines) this.#release(id);
      held = false;
    };
  }

  #release(id: PipelineId): void {
    const count = (this.#held.get(id) ?? 0) - 1;
    if (count > 0) {
      this.#held.set(id, count);
    } else if (this.#held.delete(id)) {
      this.#timers.set(id, setTimeout(() => {
        this.#timers.delete(id);
        this.#unfollow([id]);
      }, KEPT_MS));
    }
  }

  /** Lets everything go. */
  clear(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#held.clear();
  }
}
