// Asks the hub whether it takes a token, before the page uses it: a wrong one disturbs nothing that goes on.
//
// What may come in: any answer, or none. What it never does: keep the token, or repeat it in what it says.
import type { Fetch } from "@ragpulse/client";

/** How long an answer may take, in milliseconds. */
const WITHIN_MS = 15_000;

/** The folder of this page, which may lie below a prefix: the hub's address. */
export const hubUrl = (): URL => new URL(".", location.href.replace(/[?#].*$/, ""));

/** What a hub says of why it does not do something; null for what is no hub's answer. */
async function problemIn(response: Response): Promise<string | null> {
  try {
    const body: unknown = await response.json();
    const detail = typeof body === "object" && body !== null && "code" in body && "detail" in body ? body.detail : null;
    return typeof detail === "string" ? detail : null;
  } catch {
    return null;
  }
}

/** Why the hub does not take a token, in its own words where it has some; null where it takes it. */
export async function refusalOf(token: string, url: URL, fetch: Fetch): Promise<string | null> {
  let response: Response;
  try {
    const init: RequestInit = { headers: { accept: "application/json", authorization: `Bearer ${token}` }, cache: "no-store", signal: AbortSignal.timeout(WITHIN_MS) };
    response = await fetch(new URL("api/rag-status", url).href, init);
  } catch {
    return "The hub cannot be reached, so nobody knows whether this token is good. Try again.";
  }
  if (response.ok) return null;
  const detail = await problemIn(response);
  if (detail !== null && detail.includes(token)) return "The hub refused this token.";
  return detail ?? `Something on the way to the hub answered HTTP ${response.status}. Whether this token is good is not known.`;
}
