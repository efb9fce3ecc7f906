// At most one notification a frame, however many updates come.
//
// What may come in: any number of calls. What it never does: call back twice a frame, or never because a page is hidden
// and draws no frames.

/** A page that is hidden draws no frames, and a busy one few; then it is told by this timer. */
const WITHOUT_FRAME_MS = 250;

/** Calls back once, soon after it was asked to, any number of times. */
export class Frames {
  readonly #callback: () => void;
  #cancel: (() => void) | null = null;

  constructor(callback: () => void) {
    this.#callback = callback;
  }

  /** Asks for a call. */
  request(): void {
    if (this.#cancel) return;
    const isPage = typeof requestAnimationFrame === "function";
    const timer = setTimeout(() => this.flush(), isPage ? WITHOUT_FRAME_MS : 0);
    const frame = isPage ? requestAnimationFrame(() => this.flush()) : null;
    this.#cancel = () => {
      clearTimeout(timer);
      if (frame !== null) cancelAnimationFrame(frame);
    };
  }

  /** Calls back now, if it was asked to. */
  flush(): void {
    if (!this.#cancel) return;
    this.#cancel();
    this.#cancel = null;
    this.#callback();
  }
}
