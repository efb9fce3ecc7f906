// The first state, for the server to render the page with.
//
// What may come in: a hub, or none. What it never does: break the page, or make it wait for a hub that does not answer.
import "server-only";

import { fetchInitialState, type PipelineStatus } from "@ragpulse/client";

import { reason } from "./forward";
import { type BrowserSettings, hubSettings } from "./settings";

/** How long the page may wait for its state, in milliseconds. Otherwise it is drawn empty, and fills later. */
const WITHIN_MS = 1_500;

/** The states as they stand, or none where the hub is away. The browser goes on from their cursors. */
export async function firstState(pipelines: BrowserSettings["pipelines"]): Promise<PipelineStatus[]> {
  const { url, token } = hubSettings();
  try {
    return await fetchInitialState({
      url,
      pipelines: pipelines ?? "all",
      ...(token !== undefined && { token }),
      signal: AbortSignal.timeout(WITHIN_MS),
    });
  } catch (error) {
    console.error(`no first state from RagPulse at ${url}: ${reason(error)}. The page is drawn without it.`);
    return [];
  }
}
