// How a browser follows the hub: updates by socket straight from the hub, and everything else by this application.
//
// What may come in: the settings that the server put into the page. What it never does: ask the hub by HTTP itself, so
// that nothing but sockets must reach the hub, and no CORS is needed for the fallback.
import type { ConnectOptions } from "@ragpulse/client";

import type { BrowserSettings } from "./settings";

/** The options for `PipelineStatusProvider`. */
export function connectOptions({ hub, transport, pipelines }: BrowserSettings): ConnectOptions {
  return {
    // Without a hub to reach, this site stands for it; it has no sockets, and says so in /api/socket/info.
    url: hub ?? "/",
    ...(hub !== null && { fetch: (address, init) => fetch(address.slice(hub.length), init) }),
    ...(transport !== null && { transport }),
    ...(pipelines !== null && { pipelines }),
  };
}
