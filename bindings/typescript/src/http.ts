// Polls and questions for advice by `fetch`: a thin driver that turns answers into the machine's inputs.
//
// What may come in: answers of a hub, of a proxy before it, or none. What it never does: throw, try again, or wait for
// ever: when and whether to ask again is the machine's business.
import { decode } from "./decode.js";
import type { Endpoint } from "./endpoint.js";
import { isCode } from "./machine/codes.js";
import { ASK_WITHIN_MS } from "./machine/guide.js";
import type { ClientStatus, Code } from "./generated/index.js";
import type { Command, Input, Listed, TransportChoice } from "./machine/io.js";
import type { Message } from "./messages.js";

/** How much longer than a hub may hold an answer it may take. */
const GRACE_MS = 10_000;
/** How long a plain answer may take. */
const REQUEST_WITHIN_MS = 15_000;
/** The header by which a client without a socket tells how it fares. */
const CLIENT_STATUS = "RagPulse-Client-Status";
const CHOICES: readonly unknown[] = ["auto", "websocket", "polling"] satisfies TransportChoice[];

/** `fetch`, or what stands for it. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

type Json = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);
const said = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  // Node says only "fetch failed", and why in the cause.
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
};

/** What went wrong with a request of one's own. */
export class HubError extends Error {
  /** The status of HTTP. */
  readonly status: number;
  /** The hub's code, or null where it was no hub that answered. */
  readonly code: Code | null;

  constructor(message: string, status: number, code: Code | null) {
    super(message);
    this.name = "HubError";
    this.status = status;
    this.code = code;
  }
}

/** What a hub says of why it does not do something; of something that is no hub, the status. */
async function problemOf(response: Response): Promise<{ code: Code | null; message: string }> {
  const problem: unknown = await response.json().catch(() => null);
  const code = isObject(problem) && isCode(problem["code"]) ? problem["code"] : null;
  return { code, message: code && isObject(problem) ? String(problem["detail"] ?? code) : `HTTP ${response.status}` };
}

/** Asks a hub by HTTP. */
export class Http {
  readonly #endpoint: Endpoint;
  readonly #fetch: Fetch;
  #report: ClientStatus | null = null;

  constructor(endpoint: Endpoint, fetch: Fetch) {
    this.#endpoint = endpoint;
    this.#fetch = fetch;
  }

  /** How this client fares, to be told with the next poll. */
  report(status: ClientStatus): void {
    this.#report = { ...this.untold(), ...status };
  }

  /** Why it fell back to polling, if no poll has told that yet: it is to be told once. */
  untold(): Pick<ClientStatus, "fallback_cause"> {
    const cause = this.#report?.fallback_cause;
    this.#report = null;
    return cause === undefined ? {} : { fallback_cause: cause };
  }

  /**
   * What the hub serves at a path, as JSON.
   *
   * Throws a {@link HubError} where the hub, or something before it, says no.
   */
  async request(path: string, signal?: AbortSignal): Promise<unknown> {
    const response = await this.#get(this.#endpoint.at(path), REQUEST_WITHIN_MS, signal ?? new AbortController().signal);
    if (response.ok) return response.json();
    const { code, message } = await problemOf(response);
    throw new HubError(message, response.status, code);
  }

  async #get(url: string, withinMs: number, signal: AbortSignal, more: Record<string, string> = {}): Promise<Response> {
    const within = new AbortController();
    const stop = (): void => within.abort(signal.reason);
    const timer = setTimeout(() => within.abort(new Error(`no answer within ${withinMs / 1_000} s`)), withinMs);
    signal.addEventListener("abort", stop);
    try {
      const token = await this.#endpoint.token();
      signal.throwIfAborted();
      const headers: Record<string, string> = { accept: "application/json", ...more };
      if (token !== null) headers["authorization"] = `Bearer ${token}`;
      const response = await this.#fetch(url, { headers, signal: within.signal, cache: "no-store" });
      // The body within the time as well.
      return new Response(response.status === 204 ? null : await response.arrayBuffer(), { status: response.status, headers: response.headers });
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    }
  }

  /** How the hub wants to be followed. */
  async advice(ask: number, signal: AbortSignal): Promise<Input> {
    const none: Input = { type: "not_advised", ask };
    try {
      const response = await this.#get(this.#endpoint.at("/api/socket/info"), ASK_WITHIN_MS, signal);
      const info: unknown = response.ok ? await response.json() : null;
      if (!isObject(info)) return none;
      const { transport, rollout_percentage: rollout, retry_after_ms: retry } = info;
      return {
        type: "advised",
        ask,
        // What a later version may say, or says wrongly, is as if it were not said.
        advice: {
          transport: CHOICES.includes(transport) ? (transport as TransportChoice) : "auto",
          rolloutPercentage: typeof rollout === "number" && rollout >= 0 && rollout <= 100 ? rollout : 100,
          retryAfterMs: typeof retry === "number" && retry >= 0 ? retry : 0,
        },
      };
    } catch {
      return none;
    }
  }

  /** Which pipelines the hub knows. */
  async list(list: number, signal: AbortSignal): Promise<Input> {
    try {
      const response = await this.#get(this.#endpoint.at("/api/rag-status"), REQUEST_WITHIN_MS, signal);
      const answer: unknown = response.ok ? await response.json() : null;
      const pipelines = isObject(answer) ? answer["pipelines"] : null;
      if (!Array.isArray(pipelines)) throw new Error(response.ok ? "the answer is not a hub's" : `HTTP ${response.status}`);
      const isListed = (one: unknown): one is Listed =>
        isObject(one) && typeof one["pipeline_id"] === "string" && typeof one["pipeline_type"] === "string";
      return { type: "listed", list, pipelines: pipelines.filter(isListed), message: "" };
    } catch (error) {
      return { type: "listed", list, pipelines: null, message: said(error) };
    }
  }

  /** One page of what comes after a cursor. */
  async poll({ poll, pipeline, cursor, waitSeconds }: Extract<Command, { type: "poll" }>, signal: AbortSignal): Promise<Input> {
    const failed = (message: string, retryAfterMs: number | null = null, code: unknown = null): Input => ({
      type: "poll_failed", poll, pipeline, code: isCode(code) ? code : null, message, retryAfterMs,
    });
    try {
      const url = this.#endpoint.events(pipeline, cursor, waitSeconds);
      const report = this.#report;
      this.#report = null;
      const more = report === null ? {} : { [CLIENT_STATUS]: JSON.stringify(report) };
      const response = await this.#get(url, waitSeconds * 1_000 + GRACE_MS, signal, more);
      if (response.ok) return read(poll, pipeline, await response.json()) ?? failed("the answer is not a hub's");
      const seconds = Number(response.headers.get("retry-after") ?? NaN);
      const retryAfterMs = seconds >= 0 ? seconds * 1_000 : null;
      const { code, message } = await problemOf(response);
      return failed(message, retryAfterMs, code);
    } catch (error) {
      return failed(said(error));
    }
  }
}

/** Reads a page; null for what is none. */
function read(poll: number, pipeline: string, answer: unknown): Input | null {
  if (!isObject(answer)) return null;
  const { snapshot, events, reason } = answer;
  const answered = (messages: readonly Message[], bad: boolean, unknown = false): Input => ({
    type: "poll_answered", poll, pipeline, messages, bad, unknown,
  });
  if (isObject(snapshot)) {
    const decoded = decode("pipeline:status", reason === undefined ? snapshot : { ...snapshot, reason });
    return decoded.kind === "message" ? answered([decoded.message], false) : answered([], true);
  }
  if (!Array.isArray(events)) return null;
  const messages: Message[] = [];
  for (const event of events as unknown[]) {
    const decoded = isObject(event) && typeof event["event"] === "string" ? decode(event["event"], event["data"]) : null;
    // What comes after it would be beyond a hole.
    if (decoded?.kind !== "message") return answered(messages, true);
    messages.push(decoded.message);
  }
  return answered(messages, false, reason === "unknown_pipeline");
}
