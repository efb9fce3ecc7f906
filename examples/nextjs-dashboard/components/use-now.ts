"use client";
// The time, for countdowns and "so long ago".
//
// What it never does: give a time while the page is rendered by the server or hydrated, where two clocks would disagree.
import { usePipelineStore } from "@ragpulse/react";
import { useSyncExternalStore } from "react";

const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

/** One timer for all that tick. */
function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => listeners.forEach((tell) => tell()), 1_000);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** The hub's time in milliseconds since 1970, in steps of a second; null before the page has come to life. */
export function useNow(): number | null {
  const { vitals } = usePipelineStore();
  const now = useSyncExternalStore(subscribe, () => Math.floor(Date.now() / 1_000) * 1_000, () => null);
  return now === null ? null : now + vitals.clockOffsetMs;
}
