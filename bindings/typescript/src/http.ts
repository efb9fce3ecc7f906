// Polls and questions by `fetch`: a thin driver that turns answers into the machine's inputs.
//
// What may come in: answers of a hub, of a proxy before it, or none. What it never does: try again, or wait for ever:
// when and whether to ask again is the machine's business; import what is loaded before it, which would make bundlers cut
// that in two.
import { decode, isObject } from "./decode.js";
import type { Endpoint } from "./endpoint.js";
import type { ClientStatus, Code } from "./generated/index.js";
import type { HubError } from "./hub-error.js";
import { isCode } from "./machine/codes.js";
import type { CommandOf, Input, InputOf, Listed, TransportChoice } from "./machine/io.js";
import type { Message } from "./messages.js";

/** How long the answer to a question for advice may take. */
const ASK_WITHIN_MS = 3_000;
/** How much longer than a hub may hold an answer it may take. */
const GRACE_MS = 10_000;
/** How long a plain answer may take. */
const REQUEST_WITHIN_MS = 15_000;
/** The header by which a client without a socket tells how it fares. */
const LONGEST_REPORT = 1_024;
const CLIENT_STATUS = "RagPulse-Client-Status";
const CHOICES: readonly unknown[] = ["auto", "websocket", "polling"] satisfies TransportChoice[];

/** `fetch`, or what stands for it. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** An answer that was read to its end. */
interface Answer {
  /** The status of HTTP where it is no success. */
  readonly failed: number | null;
  /** What it holds, if that is JSON; else null. */
  readonly body: unknown;
  /** How long to wait before asking again, where that was said. */
  readonly retryAfterMs: number | null;
}

/** What the machine asks by HTTP. */
export type Question = CommandOf<"ask_advice" | "list" | "poll">;

/** What asking works with. */
export interface HttpParts {
  readonly endpoint: Endpoint;
  /** Stands for the global `fetch`. */
  readonly fetch?: Fetch | undefined;
  readonly HubError: typeof HubError;
}

/** How this client fares, as a header: in ASCII, and left out where it is longer than hubs read. */
function headerOf(report: ClientStatus | null): Record<string, string> {
  const escaped = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
  const text = JSON.stringify(report).replace(/[^ -~]/g, escaped);
  return report === null || text.length > LONGEST_REPORT ? {} : { [CLIENT_STATUS]: text };
}

/** Asks a hub by HTTP. Where nothing answers, each rejects. */
export class Http {
  readonly #parts: HttpParts;

  constructor(parts: HttpParts) {
    this.#parts = parts;
  }

  /** What a hub says of why it does not do something; of something that is no hub, the status. */
  #problemOf({ failed, body }: Answer): { code: Code | null; message: string } {
    const code = isObject(body) ? body["code"] : null;
    if (isObject(body) && isCode(code)) return { code, message: String(body["detail"] ?? code) };
    return { code: null, message: failed === null ? "the answer is not a hub's" : `HTTP ${failed}` };
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
      const { code, message } = this.#problemOf(answer);
      throw new this.#parts.HubError(message, answer.failed ?? 200, code);
    } finally {
      signal?.removeEventListener("abort", stop);
    }
  }

  async #get(path: string, withinMs: number, under: AbortController, more?: Record<string, string>): Promise<Answer> {
    const timer = setTimeout(() => under.abort(new Error(`no answer within ${withinMs / 1_000} s`)), withinMs);
    try {
      const { endpoint, fetch = globalThis.fetch } = this.#parts;
      const { signal } = under;
      signal.throwIfAborted();
      const aborted = new Promise<never>((_, stop) => signal.addEventListener("abort", () => stop(signal.reason as Error)));
      // Whoever gives tokens may never do so.
      const current = (): Promise<string | null> => Promise.race([endpoint.token(), aborted]);
      const ask = (token: string | null): Promise<Response> => {
        const headers: Record<string, string> = { accept: "application/json", ...more };
        if (token !== null) headers["authorization"] = `Bearer ${token}`;
        return fetch(endpoint.at(path), { headers, signal, cache: "no-store" });
      };
      const token = await current();
      let response = await ask(token);
      if (response.status === 401) {
        // The token may have ended while the answer was held, and there may be a fresh one.
        const fresh = await current();
        if (fresh !== token) response = await ask(fresh);
      }
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

  /** Asks what the machine wants to know. `report` is how this client fares, to be told with a poll. */
  ask(command: Question, under: AbortController, report: ClientStatus | null): Promise<Input> {
    if (command.type === "poll") return this.#poll(command, under, report);
    return command.type === "list" ? this.#list(command.list, under) : this.#advice(command.ask, under);
  }

  /** How the hub wants to be followed. */
  async #advice(ask: number, under: AbortController): Promise<InputOf<"advised" | "not_advised">> {
    const { failed, body } = await this.#get("/api/socket/info", ASK_WITHIN_MS, under);
    if (failed !== null || !isObject(body)) return { type: "not_advised", ask };
    const { transport, rollout_percentage: rollout, retry_after_ms: retry } = body;
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
  async #list(list: number, under: AbortController): Promise<InputOf<"listed">> {
    const answer = await this.#get("/api/rag-status", REQUEST_WITHIN_MS, under);
    const pipelines = answer.failed === null ? listedIn(answer.body) : null;
    return { type: "listed", list, pipelines, ...(pipelines ? { code: null, message: "" } : this.#problemOf(answer)) };
  }

  /** One page of what comes after a cursor. */
  async #poll(
    { poll, pipeline, cursor, waitSeconds }: CommandOf<"poll">,
    under: AbortController,
    report: ClientStatus | null,
  ): Promise<InputOf<"poll_answered" | "poll_failed">> {
    const query = new URLSearchParams({ wait: String(waitSeconds), ...(cursor && { epoch: cursor.epoch, seq: String(cursor.seq) }) });
    const answer = await this.#get(
      `/api/pipelines/${encodeURIComponent(pipeline)}/events?${query.toString()}`,
      waitSeconds * 1_000 + GRACE_MS,
      under,
      headerOf(report),
    );
    const page = answer.failed === null ? this.#read(answer.body) : null;
    if (page) return { type: "poll_answered", poll, pipeline, ...page };
    return { type: "poll_failed", poll, pipeline, ...this.#problemOf(answer), retryAfterMs: answer.retryAfterMs };
  }

  /** Reads a page; null for what is none. */
  #read(answer: unknown): Pick<InputOf<"poll_answered">, "messages" | "bad" | "unknown"> | null {
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
}

/** The pipelines that an answer of `/api/rag-status` lists, or null where it is none. */
export function listedIn(answer: unknown): Listed[] | null {
  const pipelines = isObject(answer) ? answer["pipelines"] : null;
  if (!Array.isArray(pipelines)) return null;
  return pipelines.filter(
    (one): one is Listed => isObject(one) && typeof one["pipeline_id"] === "string" && typeof one["pipeline_type"] === "string",
  );
}

/** JSON, or undefined for what is none. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
