// Which pipeline is shown: the one in the address, else one that is chosen once and stays.
//
// What may come in: pipelines coming and going, and addresses of ones that are gone. What it never does: show another
// pipeline than the one that was asked for, or go to another because there is more to do.
import type { PipelineStatus } from "@ragpulse/client";
import { useEffect, useState } from "react";
import { show, useAddress } from "./hooks.js";
import { busiest } from "./lib/pipelines.js";

/** So long nothing must have come up before what is known is taken for all that there is, in milliseconds. */
export const QUIET_MS = 250;

/** So long states are waited for at most once updates come, in milliseconds. */
export const LONGEST_MS = 3_000;

/** What is to be shown. */
export interface Shown {
  /** The pipeline; null while none is chosen, or there is none. */
  readonly shown: string | null;
  /** Whether all pipelines that the hub had when this page came are known, as far as can be told. */
  readonly isSettled: boolean;
  /** Whether the address names a pipeline that the hub does not know. */
  readonly isGone: boolean;
}

/** Whether pipelines have come, with their states; from then on it stays so. They come one by one, with no last one. */
function useSettled(states: ReadonlyMap<string, PipelineStatus | null>, isUp: boolean): boolean {
  const [isSettled, setSettled] = useState(false);
  const isKnown = [...states.values()].every(Boolean);
  const isWaited = isUp && !isSettled;
  const ids = [...states.keys()].join();
  useEffect(() => {
    if (!isWaited || !isKnown) return undefined;
    const timer = setTimeout(() => setSettled(true), QUIET_MS);
    return () => clearTimeout(timer);
  }, [isWaited, isKnown, ids]);
  useEffect(() => {
    if (!isWaited) return undefined;
    const timer = setTimeout(() => setSettled(true), LONGEST_MS);
    return () => clearTimeout(timer);
  }, [isWaited]);
  return isSettled;
}

/** What is to be shown of these; `isUp` tells whether updates come. The first choice goes into the address, and so stays. */
export function useShown(states: ReadonlyMap<string, PipelineStatus | null>, isUp: boolean): Shown {
  const { pipeline } = useAddress();
  const isSettled = useSettled(states, isUp);
  const shown = pipeline ?? (isSettled ? busiest(states) : null);
  useEffect(() => {
    if (pipeline === null && shown !== null) show({ pipeline: shown }, "replace");
  }, [pipeline, shown]);
  return { shown, isSettled, isGone: pipeline !== null && isSettled && !states.has(pipeline) };
}
