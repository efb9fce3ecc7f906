// Polls and questions by `fetch`: a thin driver that turns answers into the machine's inputs.
//
// What may come in: answers of a hub, of a proxy before it, or none. What it never does: try again, or wait for ever:
// when and whether to ask again is the machine's business.
import { decode } from "./decode.js";
import type { Endpoint } from "./endpoint.js";
import type { ClientStatus, Code } from "./generated/index.js";
import { isObject, said } from "./json.js";
import { isCode } from "./machine/codes.js";
import { ASK_WITHIN_MS } from "./machine/guide.js";
import type { CommandOf, InputOf, Listed, TransportChoice } from "./machine/io.js";
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

/** An answer that was read to its end. */
interface Answer {
  /** The status of HTTP where it is no success. */
  readonly failed: number | null;
  /** What it holds, if that is JSON; else null. */
  readonly body: unknown;
  /** How long to wait before asking again, where that was said. */
  readonly retryAfterMs: number | null;
}

/** What a hub says of why it does not do something; of something that is no hub, the status. */
function problemOf({ failed, body }: Answer): { code: Code | null; message: string } {
  if (isObject(body) && isCode(body["code"])) return { code: body["code"], message: String(body["detail"] ?? body["code"]) };
  return { code: null, message: failed === null ? "the answer is not a hub's" : `HTTP ${failed}` };
}

/** Asks a hub by HTTP. */
export class Http {
  readonly #endpoint: Endpoint;
  readonly #fetch: Fetch;
  #report: string | null = null;

  constructor(endpoint: Endpoint, fetch: Fetch = (url, init) => globalThis.fetch(url, init)) {
    this.#endpoint = endpoint;
    this.#fetch = fetch;
  }

  /** How this client fares, to be told with the next poll. */
  report(status: ClientStatus): void {
    this.#report = JSON.stringify(status);
  }

  /**
   * What the hub serves at a path, as JSON.
   *
   * Throws a {@link HubError} where the hub, or something before it, says no.
   */
  async request(path: string, signal?: AbortSignal): Promise<unknown> {
    signal?.throwIfAborted();
    const under = new AbortController();
    const stop = (): void => under.abort(signal?.reason);
    signal?.addEventListener("abort", stop);
    try {
      const answer = await this.#get(path, REQUEST_WITHIN_MS, under);
      if (answer.failed === null && answer.body !== undefined) return answer.body;
      const { code, message } = problemOf(answer);
      throw new HubError(message, answer.failed ?? 200, code);
    } finally {
      signal?.removeEventListener("abort", stop);
    }
  }

  async #get(path: string, withinMs: number, under: AbortController, more?: Record<string, string>): Promise<Answer> {
    const timer = setTimeout(() => under.abort(new Error(`no answer within ${withinMs / 1_000} s`)), withinMs);
    try {
      const token = await this.#endpoint.token();
      const { signal } = under;
      signal.throwIfAborted();
      const headers: Record<string, string> = { accept: "application/json", ...more };
      if (token !== null) headers["authorization"] = `Bearer ${token}`;
      const response = await this.#fetch(this.#endpoint.at(path), { headers, signal, cache: "no-store" });
      const text = await response.text();
      const seconds = Number(response.headers.get("retry-after") ?? NaN);
      return {
        failed: response.ok ? null : response.status,
        body: parsed(text),
        retryAfterMs: seconds >= 0 ? seconds * 1_000 : null,
      };
    } finally {
      clearTimeout(timer);
    }
  }

  /** How the hub wants to be followed. */
  async advice(ask: number, under: AbortController): Promise<InputOf<"advised" | "not_advised">> {
    const info = await this.#get("/api/socket/info", ASK_WITHIN_MS, under).catch(() => null);
    if (!info || info.failed !== null || !isObject(info.body)) return { type: "not_advised", ask };
    const { transport, rollout_percentage: rollout, retry_after_ms: retry } = info.body;
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
  }

  /** Which pipelines the hub knows. */
  async list(list: number, under: AbortController): Promise<InputOf<"listed">> {
    const failed = (message: string): InputOf<"listed"> => ({ type: "listed", list, pipelines: null, message });
    try {
      const answer = await this.#get("/api/rag-status", REQUEST_WITHIN_MS, under);
      const pipelines = answer.failed === null && isObject(answer.body) ? answer.body["pipelines"] : null;
      if (!Array.isArray(pipelines)) return failed(problemOf(answer).message);
      return { type: "listed", list, pipelines: pipelines.filter(isListed), message: "" };
    } catch (error) {
      return failed(said(error));
    }
  }

  /** One page of what comes after a cursor. */
  async poll(
    { poll, pipeline, cursor, waitSeconds }: CommandOf<"poll">,
    under: AbortController,
  ): Promise<InputOf<"poll_answered" | "poll_failed">> {
    const query = new URLSearchParams({ wait: String(waitSeconds), ...(cursor && { epoch: cursor.epoch, seq: String(cursor.seq) }) });
    const report = this.#report;
    this.#report = null;
    try {
      const answer = await this.#get(
        `/api/pipelines/${encodeURIComponent(pipeline)}/events?${query.toString()}`,
        waitSeconds * 1_000 + GRACE_MS,
        under,
        report === null ? {} : { [CLIENT_STATUS]: report },
      );
      const page = answer.failed === null ? read(answer.body) : null;
      if (page) return { type: "poll_answered", poll, pipeline, ...page };
      return { type: "poll_failed", poll, pipeline, ...problemOf(answer), retryAfterMs: answer.retryAfterMs };
    } catch (error) {
      return { type: "poll_failed", poll, pipeline, code: null, message: said(error), retryAfterMs: null };
    }
  }
}

/** Whether this is what a hub lists of a pipeline. */
export const isListed = (one: unknown): one is Listed =>
  isObject(one) && typeof one["pipeline_id"] === "string" && typeof one["pipeline_type"] === "string";

/** JSON, or undefined for what is none. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Reads a page; null for what is none. */
function read(answer: unknown): Pick<InputOf<"poll_answered">, "messages" | "bad" | "unknown"> | null {
  if (!isObject(answer)) return null;
  const { snapshot, reason } = answer;
  const events: unknown = isObject(snapshot)
    ? [{ event: "pipeline:status", data: reason === undefined ? snapshot : { ...snapshot, reason } }]
    : answer["events"];
  if (!Array.isArray(events)) return null;
  const messages: Message[] = [];
  for (const event of events as unknown[]) {
    const decoded = isObject(event) && typeof event["event"] === "string" ? decode(event["event"], event["data"]) : null;
    // What comes after it would be beyond a hole.
    if (decoded?.kind !== "message") return { messages, bad: true, unknown: false };
    messages.push(decoded.message);
  }
  return { messages, bad: false, unknown: reason === "unknown_pipeline" };
}
