// Whether a number that was measured says something: a machine that is busy with other things measures these.
//
// What may come in: an attempt that measures. What it never does: let a bad number pass because it is bad; only because
// this process's own timers, which have nothing to do with what is measured, were late at the same time.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";

/** How late timers of this process may be in one of a hundred cases; on a quiet machine it is about 2 ms. */
const LATE_MS = 20;
const RESOLUTION_MS = 10;
const TRIES = 3;
const QUIET_WITHIN_MS = 45_000;

/** Runs something; gives also by how much timers were late meanwhile, p99 in ms. */
async function watched(body) {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  const value = await body();
  delay.disable();
  return { value, late: Math.max(0, delay.percentile(99) / 1e6 - RESOLUTION_MS) };
}

/** Waits a while for the machine to become quiet; it need not. */
async function quiet() {
  const deadline = performance.now() + QUIET_WITHIN_MS;
  while (performance.now() < deadline) if ((await watched(() => pause(2_000))).late < LATE_MS) return;
}

/**
 * Measures until a number is good, three times at most unless `tries` says otherwise, each when the machine is quiet if it
 * becomes so. `attempt(n)` prints what it measures. Gives the last result, and whether the machine was too busy in every
 * try for it to say much.
 */
export async function measure(attempt, isGood, tries = TRIES) {
  let result;
  let wasBusy = true;
  for (let n = 1; n <= tries; n += 1) {
    const { value, late } = await watched(() => attempt(n));
    result = value;
    if (isGood(result)) return { result, wasBusy: false };
    const busy = late >= LATE_MS;
    wasBusy &&= busy;
    console.log(`measured: try ${n} was not good; the machine was ${busy ? "busy" : "quiet"}: timers of another process were ${late.toFixed(0)} ms late (p99)`);
    if (n < tries) await quiet();
  }
  return { result, wasBusy };
}
