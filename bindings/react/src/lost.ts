// An alarm when nothing comes from the hub for longer than a moment.
//
// What may come in: losses of any length, a page that is hidden, a store that is closed. What it never does: cry for a
// loss that heals by itself, while nobody looks, or for a connection that was closed on purpose; cry twice for one own.
import type { Cause } from "@ragpulse/client";
import { useEffect, useInsertionEffect, useRef } from "react";

import { usePipelineStore } from "./hooks.js";

/** What is known of a own. */
export interface LostConnection {
  /** Why, as far as it is known. */
  readonly cause: Cause | null;
  /** Since when, in milliseconds since 1970 by this machine's clock. */
  readonly since: number;
}

/** When a loss is worth an alarm. */
export interface LostConnectionOptions {
  /** How long it must last while somebody may be looking, in milliseconds. Default: 10,000. */
  readonly afterMs?: number;
}

/**
 * Calls back when the connection has been lost, or could not be made, for a while; and with null when that is over, or
 * the store was closed. The callback may be another function with every render.
 */
export function useLostConnection(callback: (lost: LostConnection | null) => void, options: LostConnectionOptions = {}): void {
  const { afterMs = 10_000 } = options;
  const store = usePipelineStore();
  // Beyond one store: an alarm is over when a store that took its place is connected.
  const own = useRef({ callback, since: 0, told: false }).current;
  useInsertionEffect(() => {
    own.callback = callback;
  });
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = (): void => {
      const { state } = store.connection;
      const isLost = state === "connecting" || state === "waiting";
      own.since = isLost ? own.since || Date.now() : 0;
      if (own.told === isLost || document.hidden) {
        clearTimeout(timer);
        timer = undefined;
      } else if (isLost) {
        timer ??= setTimeout(() => {
          own.told = true;
          own.callback({ cause: store.connection.cause, since: own.since });
        }, afterMs);
      } else {
        own.told = false;
        own.callback(null);
      }
    };
    const stop = store.subscribe(look);
    document.addEventListener("visibilitychange", look);
    look();
    return () => {
      clearTimeout(timer);
      stop();
      document.removeEventListener("visibilitychange", look);
    };
  }, [store, afterMs]);
}
