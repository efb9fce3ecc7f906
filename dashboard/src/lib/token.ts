// What can be told of a token without asking the hub: how it was pasted, when it ends, whether it can see anything.
//
// What may come in: any text that somebody pastes. What it never does: decide what a token may do, which is the hub's
// business; put a token, or a part of one, into a text that is shown.

import { clockSpan } from "./format.js";

/** The longest token that a hub reads. */
const LONGEST = 8_192;

/** A token as it was meant: without what often comes along when one is copied from a file, a header or a command. */
export const cleaned = (text: string): string =>
  text.trim().replace(/^(?:export\s+)?RAGPULSE_TOKEN\s*=\s*/, "").replace(/^authorization\s*:\s*/i, "").replace(/^bearer\s+/i, "").replace(/^(["'])(.*)\1$/, "$2").trim();

/** Why a text can be no token, or null. */
export function whyNot(token: string): string | null {
  if (token.length > LONGEST) return "This is longer than any token. Paste the token alone.";
  if (!/^[\x21-\x7e]+$/.test(token)) return "This is no token: a token has no spaces, line breaks or letters with accents. Paste the token alone.";
  return null;
}

/** What a JSON Web Token says of itself, unchecked; null for any other text. */
function claimsOf(token: string): Readonly<Record<string, unknown>> | null {
  const [, payload, signature] = token.split(".");
  if (!payload || !signature) return null;
  try {
    const bytes = Uint8Array.from(atob(payload.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof claims === "object" && claims !== null && !Array.isArray(claims) ? (claims as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** When it ends, in milliseconds since 1970 by the hub's clock; null where it does not say. */
export function endOf(token: string): number | null {
  const exp = claimsOf(token)?.["exp"];
  return typeof exp === "number" && Number.isFinite(exp) ? exp * 1_000 : null;
}

/** Whether it says of itself that it can see no pipeline: it names none, or does not allow to look. */
export function isBlind(token: string): boolean {
  const claims = claimsOf(token);
  if (!claims) return false;
  const { pipelines, role, acts } = claims;
  const names = Array.isArray(pipelines) ? pipelines.length : 0;
  const mayView = Array.isArray(acts) ? acts.includes("view") : typeof role === "string";
  return names === 0 || !mayView;
}

/** How long before its end it is told, in milliseconds. */
const AHEAD_MS = 60_000;

/** What to say of a token that ends then: aloud, and to be seen; null where there is nothing to say yet. */
export function wordsOf(endsAt: number | null, now: number, isRefused: boolean): { readonly said: string; readonly seen: string } | null {
  const left = endsAt === null || now === 0 ? Infinity : endsAt - now;
  if (isRefused || left <= 0) {
    const words = isRefused ? "The token does not hold any more. What you see stands still." : "The token has ended.";
    return { said: words, seen: words };
  }
  if (left > AHEAD_MS) return null;
  return { said: "The token ends within a minute.", seen: `The token ends in ${clockSpan(Math.ceil(left / 1_000))}.` };
}
