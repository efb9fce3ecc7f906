// How fast things go, by the second.

const KEPT = 180;

/** Counts by the second, for the last three minutes. */
export class Meter {
  #bySecond = new Map();

  add(millis, amount = 1) {
    const second = Math.floor(millis / 1000);
    this.#bySecond.set(second, (this.#bySecond.get(second) ?? 0) + amount);
    if (this.#bySecond.size > KEPT + 10) {
      for (const key of this.#bySecond.keys()) if (key < second - KEPT) this.#bySecond.delete(key);
    }
  }

  /** How many there were in the last `seconds`, the running one left out. */
  sum(now, seconds) {
    const end = Math.floor(now / 1000);
    let sum = 0;
    for (let second = end - seconds; second < end; second += 1) sum += this.#bySecond.get(second) ?? 0;
    return sum;
  }

  /** The seconds since the first one in the last `seconds`: what a rate is to be divided by. */
  reach(now, seconds) {
    const end = Math.floor(now / 1000);
    let first = end;
    for (const second of this.#bySecond.keys()) if (second >= end - seconds && second < first) first = second;
    return Math.max(5, Math.min(seconds, end - first));
  }

  /** The last `steps` sums of `width` seconds each, the oldest first. */
  series(now, steps, width) {
    const end = Math.floor(now / 1000);
    return Array.from({ length: steps }, (_, step) => {
      let sum = 0;
      for (let i = 0; i < width; i += 1) sum += this.#bySecond.get(end - (steps - step) * width + i) ?? 0;
      return sum;
    });
  }
}
