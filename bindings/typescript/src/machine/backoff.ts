// How long to wait before the next try: exponential, with jitter, and with chance handed in.
//
// What may come in: any number of failures. What it never does: sleep, read a clock, or give up.

/** A source of chance: each call gives a number in 0 ≤ n < 1. Handed in so that tests are repeatable. */
export type Chance = () => number;

/** Over how long at least those come back who were told the same. */
const LEAST_SPREAD_MS = 1_000;

/** Waits that double with each failure up to a limit. */
export class Backoff {
  readonly #baseMs: number;
  readonly #maxMs: number;
  readonly #chance: Chance;
  #failures = 0;

  constructor(baseMs: number, maxMs: number, chance: Chance) {
    this.#baseMs = baseMs;
    this.#maxMs = maxMs;
    this.#chance = chance;
  }

  /** How many failures there were since the last reset. */
  get failures(): number {
    return this.#failures;
  }

  /** It worked: the next failure waits shortly again. */
  reset(): void {
    this.#failures = 0;
  }

  /** It failed: how long to wait. Between half of the exponential delay and the whole of it. */
  fail(): number {
    this.#failures += 1;
    return this.after(this.#failures);
  }

  /** How long to wait after so many failures that are counted elsewhere. */
  after(failures: number): number {
    const doubled = this.#baseMs * 2 ** Math.min(Math.max(failures - 1, 0), 20);
    return Math.min(doubled, this.#maxMs) * (0.5 + 0.5 * this.#chance());
  }

  /**
   * A wait somebody else asked for, lengthened by up to a half, and by up to a second at least: others were told the
   * same in the same moment, and must not come back in one. `leastMs` stands for that second.
   */
  spread(askedMs: number, leastMs = LEAST_SPREAD_MS): number {
    return askedMs + Math.max(askedMs / 2, leastMs) * this.#chance();
  }
}
