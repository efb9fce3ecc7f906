// What this application is told by its environment, read when the server starts and not when it is built.
//
// What may come in: environment variables, as in .env.example. What it never does: show the token, or the address by
// which the server reaches the hub, to a browser.
import "server-only";

import type { TransportChoice } from "@ragpulse/client";

// A copy, because Next follows `process.env.NEXT_PUBLIC_…` wherever it goes and puts in what it is when it builds.
const environment = new Map(Object.entries(process.env));
const variable = (name: string): string | undefined => environment.get(name) || undefined;

/** How the server reaches the hub. */
export interface HubSettings {
  /** Its address, without a slash at the end. */
  readonly url: string;
  /** A token for it, where it wants one. */
  readonly token: string | undefined;
}

/** How a browser follows the hub. Part of the page, so no secret. */
export interface BrowserSettings {
  /** Where it reaches the hub by socket, or null where it does not. */
  readonly hub: string | null;
  /** The flag, or null where none is set. */
  readonly transport: TransportChoice | null;
  /** Which pipelines, or null for all. */
  readonly pipelines: readonly string[] | null;
}

/** An address in its normal form, or a failure that says which variable to repair. */
function address(name: string, value: string): string {
  if (!URL.canParse(value) || !/^https?:/i.test(value)) {
    throw new Error(`${name} is "${value}", which is no address; give one such as http://127.0.0.1:8103`);
  }
  return new URL(value).href.replace(/\/+$/, "");
}

export function hubSettings(): HubSettings {
  return {
    url: address("RAGPULSE_URL", variable("RAGPULSE_URL") ?? "http://127.0.0.1:8103"),
    token: variable("RAGPULSE_TOKEN"),
  };
}

export function browserSettings(): BrowserSettings {
  const hub = variable("NEXT_PUBLIC_RAGPULSE_URL");
  const flag = variable("NEXT_PUBLIC_RAG_STATUS_TRANSPORT");
  const ids = (variable("RAG_PIPELINE_IDS") ?? "").split(",").map((id) => id.trim()).filter(Boolean);
  return {
    hub: hub ? address("NEXT_PUBLIC_RAGPULSE_URL", hub) : null,
    transport: flag === "auto" || flag === "websocket" || flag === "polling" ? flag : null,
    pipelines: ids.length > 0 ? ids : null,
  };
}
