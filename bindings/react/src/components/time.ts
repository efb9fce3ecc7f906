// The hub's time, second by second, for what says how long ago or how long until.
//
// What may come in: nothing. What it never does: tell a time on a server or while a page is hydrated, where it would not
// be the same; keep more than one timer.
import { useSyncExternalStore } from "react";

import { usePipelineStore } from "../hooks.js";
import { dayAndTime, ticking } from "./format.js";
import { fill, type Labels } from "./labels.js";

const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    for (const tell of [...listeners]) tell();
  }, 1_000);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}
const never = (): (() => void) => () => {};
const second = (): number => Math.floor(Date.now() / 1_000) * 1_000;
const nothing = (): null => null;

/** The hub's time in whole seconds, in milliseconds since 1970; null on a server and while a page is hydrated, or if it is not wanted. */
export function useNow(isWanted = true): number | null {
  const store = usePipelineStore();
  const now = useSyncExternalStore(isWanted ? subscribe : never, isWanted ? second : nothing, nothing);
  return now === null ? null : now + store.vitals.clockOffsetMs;
}

/** Whether the reader's zone is known: not on a server, and not while a page is hydrated. */
export const useIsLocal = (): boolean => useSyncExternalStore(never, () => true, () => false);

/** How long ago a time was. */
export function agoText(time: string, now: number, { text, locale }: Labels): string {
  const seconds = (now - Date.parse(time)) / 1_000;
  return seconds < 2 ? text.now : fill(text.ago, ticking(seconds, locale));
}

/** How long ago a time was, or when it was where that is not known. */
export function pastText(time: string, now: number | null, labels: Labels): string {
  return now === null ? dayAndTime(time, labels.locale, false) : agoText(time, now, labels);
}

