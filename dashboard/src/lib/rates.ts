// How fast things go: counts and samples by the second, for the last minutes.
//
// What may come in: times in milliseconds of one clock, in any order. What it never does: read a clock; grow with the
// number of events.

/** For how many seconds counts are kept: what the plots show, and a little more. */
export const KEPT_SECONDS = 330;

const secondOf = (millis: number): number => Math.floor(millis / 1000);

/**
 * When the last whole step ended, in milliseconds. Steps begin at multiples of their width in seconds, so that bars stand
 * still; the running one is left out, as it would look like a fall.
 */
export const lastStep = (now: number, width: number): number => Math.floor(secondOf(now) / width) * width * 1_000;

/** Takes away what is too old, once enough of it has gathered. */
function prune(bySecond: Map<number, unknown>, newest: number): void {
  if (bySecond.size <= KEPT_SECONDS + 30) return;
  for (const second of bySecond.keys()) if (second < newest - KEPT_SECONDS) bySecond.delete(second);
  // Times from the future, of a clock that was wrong, must not make it grow either.
  for (const second of bySecond.keys()) if (bySecond.size > 2 * KEPT_SECONDS) bySecond.delete(second);
}

/** Counts by the second. */
export class Meter {
  readonly #bySecond = new Map<number, number>();

  /** Something happened at a time, so many times. */
  add(millis: number, amount = 1): void {
    const second = secondOf(millis);
    if (!Number.isFinite(second)) return;
    this.#bySecond.set(second, (this.#bySecond.get(second) ?? 0) + amount);
    prune(this.#bySecond, second);
  }

  /** How often in the last `seconds`, the running one left out. */
  sum(now: number, seconds: number): number {
    const end = secondOf(now);
    let sum = 0;
    for (let second = end - seconds; second < end; second += 1) sum += this.#bySecond.get(second) ?? 0;
    return sum;
  }

  /** How often in a second, over the last `seconds`, or as far back as anything is known, but not less than five. */
  perSecond(now: number, seconds: number): number {
    const end = secondOf(now);
    let first = end;
    for (const second of this.#bySecond.keys()) if (second >= end - seconds && second < first) first = second;
    return this.sum(now, seconds) / Math.max(5, Math.min(seconds, end - first));
  }

  /** The last `steps` whole sums of `width` seconds each, the oldest first, up to {@link lastStep}. */
  series(now: number, steps: number, width: number): number[] {
    const end = lastStep(now, width) / 1_000;
    return Array.from({ length: steps }, (_, step) => {
      let sum = 0;
      for (let i = 0; i < width; i += 1) sum += this.#bySecond.get(end - (steps - step) * width + i) ?? 0;
      return sum;
    });
  }
}

/** How many samples of a second are kept; of more, every second one is dropped. */
const SAMPLES = 64;

/** Measured values by the second, such as latencies. */
export class Samples {
  readonly #bySecond = new Map<number, { values: number[]; every: number; seen: number }>();

  /** A value was measured at a time. */
  add(millis: number, value: number): void {
    const second = secondOf(millis);
    if (!Number.isFinite(second) || !Number.isFinite(value)) return;
    let bucket = this.#bySecond.get(second);
    if (!bucket) {
      bucket = { values: [], every: 1, seen: 0 };
      this.#bySecond.set(second, bucket);
      prune(this.#bySecond, second);
    }
    if (bucket.seen % bucket.every === 0) bucket.values.push(value);
    bucket.seen += 1;
    if (bucket.values.length > SAMPLES) {
      bucket.values = bucket.values.filter((_, index) => index % 2 === 0);
      bucket.every *= 2;
    }
  }

  #between(from: number, to: number): number[] {
    const values: number[] = [];
    for (let second = from; second < to; second += 1) values.push(...(this.#bySecond.get(second)?.values ?? []));
    return values.sort((a, b) => a - b);
  }

  /** A quantile of the last `seconds`, the running one included; null where nothing was measured. */
  quantile(now: number, seconds: number, part: number): number | null {
    return quantile(this.#between(secondOf(now) + 1 - seconds, secondOf(now) + 1), part);
  }

  /** A quantile for each of the last `steps` of `width` seconds, the oldest first, as {@link Meter.series} cuts them. */
  series(now: number, steps: number, width: number, part: number): (number | null)[] {
    const end = lastStep(now, width) / 1_000;
    return Array.from({ length: steps }, (_, step) => {
      const from = end - (steps - step) * width;
      return quantile(this.#between(from, from + width), part);
    });
  }
}

/** A quantile of values in order, by the nearest rank; null of none. */
export function quantile(sorted: readonly number[], part: number): number | null {
  if (sorted.length === 0) return null;
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(part * sorted.length) - 1))] ?? null;
}
