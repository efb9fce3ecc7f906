// All files of a pipeline in one list: those that its state lists, live, and below them those beyond it, from the hub's
// pages.
//
// What may come in: files in both, and files that change, leave the state or are deleted while pages come. What it never
// does: list a file twice, or as it was when something newer is known; ask the hub before somebody looks that far.
import type { FileState, FileStatus, PipelineId, PipelineStatus } from "@ragpulse/client";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";

import { usePipelineStatus, usePipelineStore } from "../hooks.js";
import { useFiles } from "../pages.js";
import { doneOf } from "./PipelineStatus.js";

/** What to list. */
export interface ListingQuery {
  /** Only those in this state; null for all. */
  readonly state: FileState | null;
  /** Only those that contain this. */
  readonly search: string;
  /** The same, once nobody types any more: this is what the hub is asked for. */
  readonly settledSearch: string;
  /** How many files a page holds. */
  readonly pageSize: number;
}

/** What is listed. */
export interface Listing {
  /** The pipeline, or null while it is not known. */
  readonly status: PipelineStatus | null;
  /** The files, as far as they are here. */
  readonly files: readonly FileStatus[];
  /** How many there are altogether; null where only the hub could count them. */
  readonly total: number | null;
  readonly isLoading: boolean;
  readonly error: unknown;
  /** Whether some are not here. */
  readonly hasMore: boolean;
  /** Fetches some of those. */
  readonly loadMore: () => void;
}

const searched = new WeakMap<FileStatus, string>();

/** Whether a file contains a text, which is in lower case, in its name, path, id or cause. */
export function contains(file: FileStatus, search: string): boolean {
  let text = searched.get(file);
  if (text === undefined) {
    const { error, reason, message } = file;
    text = [file.name, file.path, file.id, error?.type, error?.message, error?.stage, reason, message].filter(Boolean).join("\n").toLowerCase();
    searched.set(file, text);
  }
  return text.includes(search);
}

/** What runs, then what ended, the newest first, then what waits. The state has them in the order of `seq`. */
function inOrder(files: readonly FileStatus[]): FileStatus[] {
  const running: FileStatus[] = [];
  const ended: FileStatus[] = [];
  const waiting: FileStatus[] = [];
  for (const file of files) (file.state === "processing" ? running : file.state === "queued" ? waiting : ended).push(file);
  return [...running, ...ended.reverse(), ...waiting];
}

/** What is known of files while they are not in the state. Changed in place; a number says that it was. */
interface Beyond {
  readonly key: string;
  readonly kept: Map<string, FileStatus>;
  /** By the `seq` of the deletion: what is newer is another file of that id. */
  readonly deleted: Map<string, number>;
}

/** Lists the files of a pipeline. */
export function useListing(pipeline: PipelineId, { state, search, settledSearch, pageSize }: ListingQuery): Listing {
  const store = usePipelineStore();
  const status = usePipelineStatus(pipeline);
  const text = search.trim().toLowerCase();
  const key = JSON.stringify([pipeline, state, settledSearch.trim()]);
  const [wantedKey, want] = useState("");
  const [version, setVersion] = useState(0);

  const counted = status === null ? 0 : state === null ? doneOf(status.counts).total : status.counts[state];
  const listed = useMemo(() => inOrder(status?.files ?? []), [status?.files]);
  const held = state === null ? listed.length : listed.filter((file) => file.state === state).length;
  const isBeyond = counted > held;
  const isWanted = wantedKey === key || (isBeyond && settledSearch.trim() !== "");
  const pages = useFiles(isWanted ? pipeline : null, {
    limit: pageSize, ...(state && { state }), ...(settledSearch.trim() && { q: settledSearch.trim() }),
  });
  const { items, isLoading, error, hasMore, loadMore: loadPage, reload } = pages;

  const beyond = useRef<Beyond>({ key, kept: new Map(), deleted: new Map() });
  if (beyond.current.key !== key) beyond.current = { key, kept: new Map(), deleted: new Map() };

  useEffect(() => store.onUpdate((update) => {
    if (update.kind === "connection" || update.pipeline !== pipeline) return;
    const { kept, deleted } = beyond.current;
    if (update.kind === "event") {
      const { event, data } = update.event;
      const file = (data as { readonly file?: { readonly id?: unknown } }).file?.id;
      if (event !== "file:deleted" || typeof file !== "string") return;
      kept.delete(file);
      deleted.set(file, data.seq);
    } else if (update.kind === "liveness") {
      return;
    } else {
      // Whatever pages hold may be of another time.
      kept.clear();
      deleted.clear();
      reload();
    }
    setVersion((last) => last + 1);
  }), [store, pipeline, reload]);

  const files = useMemo(() => {
    const fits = (file: FileStatus): boolean => (state === null || file.state === state) && (!text || contains(file, text));
    const here = listed.filter(fits);
    if (!isWanted) return here;
    const { kept, deleted } = beyond.current;
    const ids = new Set<string>();
    const isGone = ({ id, seq }: FileStatus): boolean => seq <= (deleted.get(id) ?? -1);
    for (const file of listed) {
      ids.add(file.id);
      // The state is told once a frame, so it may still list what was deleted since.
      if (isGone(file)) continue;
      kept.set(file.id, file);
      deleted.delete(file.id);
    }
    const rest: FileStatus[] = [];
    const take = (file: FileStatus): void => {
      if (ids.has(file.id) || isGone(file)) return;
      ids.add(file.id);
      // A page is as old as the question; what the state listed since may be newer.
      const last = kept.get(file.id);
      const newer = last && last.seq > file.seq ? last : file;
      if (fits(newer)) rest.push(newer);
    };
    items.forEach(take);
    kept.forEach(take);
    return [...here, ...rest];
  }, [listed, items, isWanted, state, text, version]);

  const hasAll = !isBeyond || (isWanted && !isLoading && !hasMore && error === null);
  const total = text ? (hasAll ? files.length : null) : hasAll ? files.length : Math.max(counted, files.length);
  const isSettled = search.trim() === settledSearch.trim();
  const loadMore = useCallback(() => {
    if (isWanted) loadPage();
    else if (isSettled) want(key);
  }, [isWanted, isSettled, loadPage, key]);
  return { status, files, total, isLoading, error, hasMore: !hasAll, loadMore };
}
