// What a component may ask about pipelines. Each draws anew only when its own answer changes.
//
// What may come in: ids that nobody follows yet, and selectors that are made anew with every render. What it never does:
// give another object where nothing has changed; give something else while a page is hydrated than its server drew.
import type { Cause, ConnectionState, FileStatus, PipelineId, PipelineStatus, PipelineStatusStore } from "@ragpulse/client";
import { useCallback, useContext, useEffect, useRef, useSyncExternalStore } from "react";

import { Context, type Held, type View } from "./provider.js";

/** How the connection to the hub fares. */
export interface Connection {
  /** How it is connected. */
  readonly state: ConnectionState;
  /** Why not by socket, or not at all; null where there is nothing to explain. */
  readonly cause: Cause | null;
  /** By what updates come right now; null while none come. */
  readonly transport: "websocket" | "polling" | null;
  /** How long the last round trip took, in milliseconds; null before. */
  readonly latencyMs: number | null;
  /** How long ago anything came from the hub, in milliseconds, in steps of a second; null before. */
  readonly dataAgeMs: number | null;
  /** Tries whatever waits for a later time now. */
  readonly retry: () => void;
}

function useHeld(): Held {
  const held = useContext(Context);
  if (!held) throw new Error("no PipelineStatusProvider is around this component");
  return held;
}

/** What is selected of a store; the same object as long as it is equal. Follows a pipeline while the component is mounted. */
function useView<T>(select: (view: View) => T, isEqual: (a: T, b: T) => boolean = Object.is, id?: PipelineId): T {
  const { store, first } = useHeld();
  // Also what is followed already: somebody else may let it go.
  useEffect(() => (id === undefined ? id : store.follow([id])), [store, id]);
  const last = useRef<{ readonly value: T } | null>(null);
  let current = last.current;
  const read = (view: View) => (): T => {
    const value = select(view);
    if (!current || !isEqual(current.value, value)) current = { value };
    return current.value;
  };
  const value = useSyncExternalStore(store.subscribe, read(store), read(first));
  useEffect(() => {
    last.current = { value };
  }, [value]);
  return value;
}

const isSameList = (a: readonly unknown[], b: readonly unknown[]): boolean =>
  a.length === b.length && a.every((one, index) => one === b[index]);

/** The store itself, for what the hooks do not cover: `request`, `onUpdate`, `refreshToken`. */
export const usePipelineStore = (): PipelineStatusStore => useHeld().store;

/** The ids of the pipelines that are followed, in order; one of them may have no state (yet). */
export const usePipelineIds = (): readonly PipelineId[] => useView((view) => view.pipelines);

/** The states of the pipelines that are followed, in the order of their ids, as far as they are known. */
export const usePipelines = (): readonly PipelineStatus[] =>
  useView((view) => view.pipelines.map(view.getSnapshot).filter((state) => !!state), isSameList);

/**
 * What is selected of a pipeline's state, which is null where there is none (yet). Follows the pipeline while it is
 * mounted. Default of `isEqual`: `Object.is`.
 */
export const usePipelineSelector = <T>(
  id: PipelineId,
  selector: (state: PipelineStatus | null) => T,
  isEqual?: (a: T, b: T) => boolean,
): T => useView((view) => selector(view.getSnapshot(id)), isEqual, id);

/** The state of a pipeline, or null where there is none (yet). Follows the pipeline while it is mounted. */
export const usePipelineStatus = (id: PipelineId): PipelineStatus | null => usePipelineSelector(id, (state) => state);

/**
 * A file as the state of its pipeline lists it, or null: it may be unknown, or beyond what states list. Follows the
 * pipeline while it is mounted.
 */
export const useFile = (id: PipelineId, file: string): FileStatus | null => useView((view) => view.getFile(id, file), undefined, id);

/** How the connection fares. Draws anew each second while the data ages. */
export function useConnection(): Connection {
  const { store } = useHeld();
  const { state, cause } = useView((view) => view.connection);
  const latencyMs = useView((view) => view.vitals.latencyMs);
  const dataAgeMs = useSyncExternalStore(
    useCallback((tell: () => void) => {
      const stop = store.subscribe(tell);
      const timer = setInterval(tell, 1_000);
      return () => {
        stop();
        clearInterval(timer);
      };
    }, [store]),
    () => {
      const { heardAt } = store.vitals;
      return heardAt && Math.max(0, Math.floor((Date.now() - heardAt) / 1_000) * 1_000);
    },
    () => null,
  );
  return { state, cause, transport: state === "websocket" || state === "polling" ? state : null, latencyMs, dataAgeMs, retry: store.retry };
}
