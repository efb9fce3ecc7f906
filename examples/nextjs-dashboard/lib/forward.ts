// Passes a browser's question on to the hub, and the hub's answer back.
//
// What may come in: GET requests of anybody who may open this application. What it never does: pass on cookies or other
// headers than those named here; hold a question to the hub longer than it is given, or longer than the browser waits;
// tell a browser where the hub is.
import "server-only";

import { problem } from "./problem";
import { hubSettings } from "./settings";

/** What of the question the hub needs. The last is how a polling client reports how it fares. */
const ASKED = ["accept", "if-none-match", "ragpulse-client-status"] as const;
/** What of the answer the browser needs. */
const ANSWERED = ["content-type", "etag", "cache-control", "retry-after"] as const;
/** How long the hub may hold a long poll at most, in seconds. */
const MAX_WAIT = 30;
/** How long an answer may take beside that, in milliseconds. */
const WITHIN_MS = 5_000;

function pick(headers: Headers, names: readonly string[]): Headers {
  const picked = new Headers();
  for (const name of names) {
    const value = headers.get(name);
    if (value !== null) picked.set(name, value);
  }
  return picked;
}

/** How long the hub may take for this question: longer where it was asked to wait for news. */
function limit(query: URLSearchParams): number {
  const wait = Number(query.get("wait") ?? 0);
  return (wait > 0 ? Math.min(wait, MAX_WAIT) : 0) * 1_000 + WITHIN_MS;
}

/** Asks the hub for `path` with the query of `request`. Always gives an answer. */
export async function forward(request: Request, path: string): Promise<Response> {
  const { url, token } = hubSettings();
  const { search, searchParams } = new URL(request.url);
  const headers = pick(request.headers, ASKED);
  // A browser that has a token of its own is asked for as itself; otherwise this server's token speaks for it.
  const authorization = request.headers.get("authorization") ?? (token && `Bearer ${token}`);
  if (authorization) headers.set("authorization", authorization);
  const withinMs = limit(searchParams);
  const late = AbortSignal.timeout(withinMs);
  try {
    const answer = await fetch(url + path + search, {
      headers,
      cache: "no-store",
      redirect: "error",
      // When the browser goes, so does the question to the hub.
      signal: AbortSignal.any([request.signal, late]),
    });
    return new Response(answer.body, { status: answer.status, headers: pick(answer.headers, ANSWERED) });
  } catch (error) {
    // Nobody is there to read it.
    if (request.signal.aborted) return new Response(null, { status: 499 });
    if (late.aborted) {
      const detail = `The status hub gave no answer within ${withinMs / 1_000} s. Try again.`;
      return problem(504, "hub_late", "The hub is late", detail);
    }
    console.error(`RagPulse cannot be reached at ${url}: ${reason(error)}. Is it running, and is RAGPULSE_URL right?`);
    const detail = "The status hub cannot be reached. It is tried again by itself.";
    return problem(503, "hub_away", "The hub is away", detail);
  }
}

/** Node says only "fetch failed", and why in the cause. */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}
