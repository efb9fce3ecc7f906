// What snapshots do not hold, looked up in the hub a page at a time: all files of a pipeline, and what happened in it.
//
// What may come in: a store, and what to look for. What it never does: keep anything; take an answer for a page that is
// none.
import type { FilesPage, FileState, HistoryPage, PipelineId } from "./generated/index.js";
import type { PipelineStatusStore } from "./store.js";

/** Which files. */
export interface FilesQuery {
  /** Only those in this state. */
  readonly state?: FileState;
  /** Only those whose name, path, id or cause contains this, whatever the case. */
  readonly q?: string;
  /** Only those after this `seq`: `next_after` of the page before. Default: from the first. */
  readonly after?: number;
  /** How many at most, up to 1,000. Default: 100. */
  readonly limit?: number;
}

/** Which events. */
export interface HistoryQuery {
  /** Only those of the file with this id. */
  readonly file?: string;
  /** Only those of this name, such as `file:failed`. */
  readonly event?: string;
  /** Only those that the hub took in at this time or later. */
  readonly since?: string;
  /** Only those that the hub took in before this time. */
  readonly until?: string;
  /** Only those after this `seq`: `next_after` of the page before. Default: from the first that is kept. */
  readonly after?: number;
  /** How many at most, up to 1,000. Default: 100. */
  readonly limit?: number;
}

/** What can ask the hub: a store, connected or not. */
export type Asks = Pick<PipelineStatusStore, "request">;

async function page<T>(asks: Asks, pipeline: PipelineId, kind: string, query: object, rows: keyof T, signal?: AbortSignal): Promise<T> {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  const search = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString();
  const path = `/api/pipelines/${encodeURIComponent(pipeline)}/${kind}${search && `?${search}`}`;
  const answer = (await asks.request(path, signal)) as T | null;
  if (!Array.isArray(answer?.[rows])) throw new TypeError(`the answer to ${path} is not a hub's`);
  return answer;
}

/**
 * A page of a pipeline's files, also of those beyond what snapshots list, in the order of `seq`.
 *
 * Rejects with a `HubError` where the hub says no, such as with `unknown_pipeline`.
 */
export const listFiles = (asks: Asks, pipeline: PipelineId, query: FilesQuery = {}, signal?: AbortSignal): Promise<FilesPage> =>
  page<FilesPage>(asks, pipeline, "files", query, "files", signal);

/**
 * A page of what happened in a pipeline, in the order of `seq`, as far back as the hub keeps it.
 *
 * Rejects with a `HubError` where the hub says no, such as with `unknown_pipeline`.
 */
export const listHistory = (asks: Asks, pipeline: PipelineId, query: HistoryQuery = {}, signal?: AbortSignal): Promise<HistoryPage> =>
  page<HistoryPage>(asks, pipeline, "history", query, "events", signal);
