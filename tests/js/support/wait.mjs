// Waiting for what is to come, never for a time: a condition, and a deadline that only a failure meets.
import { setTimeout as pause } from "node:timers/promises";

/** Waits until `condition` holds (it may be async); says what it waited for when it never does. */
export async function until(condition, what, seconds = 20) {
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > deadline) {
      throw new Error(`waited ${seconds} s in vain for ${typeof what === "function" ? what() : what}`);
    }
    await pause(5);
  }
}

/** A promise with a deadline. */
export async function within(promise, what, seconds = 20) {
  const timer = new AbortController();
  const late = pause(seconds * 1000, undefined, { signal: timer.signal }).then(
    () => {
      throw new Error(`waited ${seconds} s in vain for ${what}`);
    },
    () => {},
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer.abort();
  }
}
