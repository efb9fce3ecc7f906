// Files and events beyond what states list, a page at a time.
//
// What may come in: another question at any time, also while an answer is awaited. What it never does: show an answer to
// an older question; ask for two pages at once; go on asking when nobody waits for it.
import { type FilesQuery, type FileStatus, type HistoryQuery, listFiles, listHistory, type NamedEvent, type PipelineId } from "@ragpulse/client";
import { useCallback, useEffect, useRef, useState } from "react";

import { usePipelineStore } from "./hooks.js";

/** What came so far of a list that comes in pages. */
export interface Pages<T> {
  /** What came, in order. */
  readonly items: readonly T[];
  /** Whether a page is on its way. */
  readonly isLoading: boolean;
  /** What went wrong with the last page, such as a `HubError`; null where nothing did. */
  readonly error: unknown;
  /** Whether there is more to come. */
  readonly hasMore: boolean;
  /** Asks for the next page, or again for one that failed. While one is on its way, or after the last, it does nothing. */
  readonly loadMore: () => void;
  /** Begins anew from the first page. */
  readonly reload: () => void;
}

interface Loaded<T> extends Omit<Pages<T>, "loadMore" | "reload"> {
  readonly key: string;
}
type Page<T> = { readonly next_after?: number } & { readonly [K in "files" | "events"]?: readonly T[] };

function usePages<T>(
  list: (asks: ReturnType<typeof usePipelineStore>, id: PipelineId, query: object, signal: AbortSignal) => Promise<Page<T>>,
  id: PipelineId | null,
  query: object,
): Pages<T> {
  const store = usePipelineStore();
  const key = id === null ? "" : JSON.stringify([id, query]);
  const none: Loaded<T> = { key, items: [], isLoading: id !== null, error: null, hasMore: false };
  const [loaded, setLoaded] = useState(none);
  const [round, setRound] = useState(0);
  const more = useRef(() => {});
  useEffect(() => {
    if (id === null) return;
    let items: readonly T[] = [];
    let after: number | undefined;
    let under: AbortController | null = null;
    let isOver = false;
    const show = (isLoading: boolean, error: unknown): void => setLoaded({ key, items, isLoading, error, hasMore: !isOver });
    const load = async (): Promise<void> => {
      if (under || isOver) return;
      const { signal } = (under = new AbortController());
      show(true, null);
      let error: unknown = null;
      try {
        // A page may be empty before the last one.
        for (const before = items; items === before && !isOver; ) {
          const { files, events, next_after } = await list(store, id, { ...query, after }, signal);
          const rows = files ?? events ?? [];
          if (rows[0]) items = [...items, ...rows];
          after = next_after;
          isOver = next_after === undefined;
        }
      } catch (problem) {
        error = problem;
      }
      if (signal.aborted) return;
      under = null;
      show(false, error);
    };
    more.current = load;
    void load();
    return () => {
      under?.abort();
      isOver = true;
    };
  }, [store, key, round]);
  const loadMore = useCallback(() => void more.current(), []);
  const reload = useCallback(() => setRound((last) => last + 1), []);
  return { ...(loaded.key === key ? loaded : none), loadMore, reload };
}

/**
 * The files of a pipeline in the order of `seq`, also those that its state does not list. Loads the first page at once;
 * with null for an id it loads nothing.
 */
export const useFiles = (id: PipelineId | null, query: Omit<FilesQuery, "after"> = {}): Pages<FileStatus> =>
  usePages<FileStatus>(listFiles, id, query);

/**
 * What happened in a pipeline, or to one of its files, in the order of `seq`, as far back as the hub keeps it. Loads the
 * first page at once; with null for an id it loads nothing.
 */
export const useHistory = (id: PipelineId | null, query: Omit<HistoryQuery, "after"> = {}): Pages<NamedEvent> =>
  usePages<NamedEvent>(listHistory, id, query);
