// Polls and questions for advice by `fetch`: a thin driver that turns answers into the machine's inputs.
//
// What may come in: answers of a hub, of a proxy before it, or none. What it never does: throw, try again, or wait for
// ever: when and whether to ask again is the machine's business.
import { decode } from "./decode.js";
import type { Endpoint } from "./endpoint.js";
import { isCode } from "./machine/codes.js";
import { ASK_WITHIN_MS } from "./machine/guide.js";
import type { Command, Input, TransportChoice } from "./machine/io.js";
import type { Message } from "./messages.js";

/** How much longer than a hub may hold an answer it may take. */
const GRACE_MS = 10_000;
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

/** Asks a hub by HTTP. */
export class Http {
  readonly #endpoint: Endpoint;
  readonly #fetch: Fetch;

  constructor(endpoint: Endpoint, fetch: Fetch) {
    this.#endpoint = endpoint;
    this.#fetch = fetch;
  }

  async #get(url: string, withinMs: number, signal: AbortSignal): Promise<Response> {
    const within = new AbortController();
    const stop = (): void => within.abort(signal.reason);
    const timer = setTimeout(() => within.abort(new Error(`no answer within ${withinMs / 1_000} s`)), withinMs);
    signal.addEventListener("abort", stop);
    try {
      const token = await this.#endpoint.token();
      signal.throwIfAborted();
      const headers: Record<string, string> = { accept: "application/json" };
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
      const response = await this.#get(this.#endpoint.info, ASK_WITHIN_MS, signal);
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

  /** One page of what comes after a cursor. */
  async poll({ poll, pipeline, cursor, waitSeconds }: Extract<Command, { type: "poll" }>, signal: AbortSignal): Promise<Input> {
    const failed = (message: string, retryAfterMs: number | null = null, code: unknown = null): Input => ({
      type: "poll_failed", poll, pipeline, code: isCode(code) ? code : null, message, retryAfterMs,
    });
    try {
      const url = this.#endpoint.events(pipeline, cursor, waitSeconds);
      const response = await this.#get(url, waitSeconds * 1_000 + GRACE_MS, signal);
      if (response.ok) return read(poll, pipeline, await response.json()) ?? failed("the answer is not a hub's");
      const seconds = Number(response.headers.get("retry-after") ?? NaN);
      const retryAfterMs = seconds >= 0 ? seconds * 1_000 : null;
      const problem: unknown = await response.json().catch(() => null);
      if (!isObject(problem) || !isCode(problem["code"])) return failed(`HTTP ${response.status}`, retryAfterMs);
      return failed(String(problem["detail"] ?? problem["code"]), retryAfterMs, problem["code"]);
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
