// Who this client is, and what its environment says of how to connect.
//
// What may come in: a local storage, or none, or one that throws. What it never does: throw; tell more of a person than
// that it is the same browser.
import type { TransportChoice } from "./machine/io.js";

const KEY = "ragpulse.client_id";

/** The client's id: the one this browser has kept, or a new one. */
export function clientId(): string {
  const fresh = globalThis.crypto?.randomUUID?.() ?? String(Math.random()).slice(2);
  try {
    const kept = localStorage.getItem(KEY);
    if (kept) return kept.slice(0, 64);
    localStorage.setItem(KEY, fresh);
  } catch {
    // There is no storage, or none for us.
  }
  return fresh;
}

declare const process: { readonly env: { readonly NEXT_PUBLIC_RAG_STATUS_TRANSPORT?: string } };

/** By what to connect, as the environment says it; frameworks put the value in place of the expression when they build. */
export function override(): TransportChoice | undefined {
  try {
    const value = process.env.NEXT_PUBLIC_RAG_STATUS_TRANSPORT;
    return value === "auto" || value === "websocket" || value === "polling" ? value : undefined;
  } catch {
    return undefined;
  }
}
