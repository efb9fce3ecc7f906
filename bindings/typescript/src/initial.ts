// The first state, for whoever draws a page before a client connects: a server that renders it.
//
// What may come in: answers of a hub, or none. What it never does: wait longer than it is given; hand out half of it.
import { decode } from "./decode.js";
import { Endpoint, type TokenSource } from "./endpoint.js";
import type { PipelineId, PipelineStatus, PipelineType } from "./generated/index.js";
import { type Fetch, Http, HubError } from "./http.js";

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
  const http = new Http(new Endpoint(url, options.token), options.fetch ?? ((address, init) => globalThis.fetch(address, init)));
  const listed = typeof pipelines === "object" && !("type" in pipelines);
  let ids: readonly PipelineId[];
  if (listed) {
    ids = pipelines;
  } else {
    const answer = await http.list(0, signal ?? new AbortController().signal);
    if (answer.type !== "listed" || !answer.pipelines) {
      throw new Error(answer.type === "listed" ? answer.message : "the answer is not a hub's");
    }
    const type = pipelines === "all" ? null : pipelines.type;
    ids = answer.pipelines.filter((one) => type === null || one.pipeline_type === type).map((one) => one.pipeline_id);
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
  const snapshot = typeof answer === "object" && answer !== null && "snapshot" in answer ? answer.snapshot : null;
  const decoded = decode("pipeline:status", snapshot);
  if (decoded.kind === "message") return snapshot as PipelineStatus;
  if (typeof answer === "object" && answer !== null && "events" in answer) return null;
  throw new Error("the answer is not a hub's");
}
