// The first state, for whoever draws a page before a client connects: a server that renders it.
//
// What may come in: answers of a hub, or none. What it never does: wait longer than it is given; hand out half of it.
import { decode, isObject } from "./decode.js";
import { Endpoint, type TokenSource } from "./endpoint.js";
import type { PipelineId, PipelineStatus, PipelineType } from "./generated/index.js";
import { type Fetch, Http, listedIn } from "./http.js";
import { HubError } from "./hub-error.js";

const NO_ANSWER = "the answer is not a hub's";

/** Whose state to fetch, and from where. */
export interface InitialStateOptions {
  /** The hub's address. */
  readonly url: string | URL;
  /** Which pipelines: see `ConnectOptions`. Default: `all`. */
  readonly pipelines?: readonly PipelineId[] | "all" | { readonly type: PipelineType };
  /** A token, or what gives one. */
  readonly token?: TokenSource;
  /** Stands for the global `fetch`. */
  readonly fetch?: Fetch;
  /** Gives up when this is aborted, such as `AbortSignal.timeout(2000)`. */
  readonly signal?: AbortSignal;
}

/**
 * The states of pipelines, to be handed to `connectPipelineStatus` as `initial`: it is plain JSON. Pipelines that the hub
 * does not know are left out.
 *
 * Rejects with a `HubError` where the hub says no, and with what `fetch` says where it cannot be reached.
 */
export async function fetchInitialState(options: InitialStateOptions): Promise<PipelineStatus[]> {
  const { url, pipelines = "all", signal } = options;
  const http = new Http({ endpoint: new Endpoint(url, options.token), fetch: options.fetch, HubError });
  let ids: readonly PipelineId[];
  if (typeof pipelines === "object" && !("type" in pipelines)) {
    ids = pipelines;
  } else {
    const answer = await http.request("/api/rag-status", signal);
    const listed = listedIn(answer);
    if (!listed) throw new Error(NO_ANSWER);
    const type = pipelines === "all" ? null : pipelines.type;
    ids = listed.filter((one) => type === null || one.pipeline_type === type).map((one) => one.pipeline_id);
  }
  const states = await Promise.all(ids.map((id) => stateOf(http, id, signal)));
  return states.filter((state) => state !== null);
}

async function stateOf(http: Http, pipeline: PipelineId, signal: AbortSignal | undefined): Promise<PipelineStatus | null> {
  let answer: unknown;
  try {
    answer = await http.request(`/api/pipelines/${encodeURIComponent(pipeline)}/events`, signal);
  } catch (error) {
    if (error instanceof HubError && error.code === "unknown_pipeline") return null;
    throw error;
  }
  if (!isObject(answer)) throw new Error(NO_ANSWER);
  const { snapshot, events } = answer;
  if (decode("pipeline:status", snapshot).kind === "message") return snapshot as PipelineStatus;
  if (Array.isArray(events)) return null;
  throw new Error(NO_ANSWER);
}
