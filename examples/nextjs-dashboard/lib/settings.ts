// What this application is told by its environment, read when it is needed and not when it is built.
//
// What may come in: environment variables, as in .env.example. What it never does: show the token, or the address by which
// the server reaches the hub, to a browser.
import "server-only";

import type { TransportChoice } from "@ragpulse/client";

// By way of another name, because Next puts values in place of `process.env.NEXT_PUBLIC_…` when it builds.
const environment = process.env;

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
    url: address("RAGPULSE_URL", environment.RAGPULSE_URL || "http://127.0.0.1:8103"),
    token: environment.RAGPULSE_TOKEN || undefined,
  };
}

export function browserSettings(): BrowserSettings {
  const hub = environment.NEXT_PUBLIC_RAGPULSE_URL;
  const flag = environment.NEXT_PUBLIC_RAG_STATUS_TRANSPORT;
  const ids = (environment.RAG_PIPELINE_IDS ?? "").split(",").map((id) => id.trim()).filter(Boolean);
  return {
    hub: hub ? address("NEXT_PUBLIC_RAGPULSE_URL", hub) : null,
    transport: flag === "auto" || flag === "websocket" || flag === "polling" ? flag : null,
    pipelines: ids.length > 0 ? ids : null,
  };
}
