// What the parts of the page share: the meters, the token, the hub's time, the address, media queries, keys.
import { useNow as useHubNow } from "@ragpulse/react/components";
import { createContext, use, useEffect, useRef, useSyncExternalStore } from "react";
import type { Activity } from "./lib/activity.js";
import type { View } from "./lib/address.js";
import { AddressBar, type How } from "./lib/address-bar.js";
import type { Standing, TokenSession } from "./lib/session.js";

/** The meters of all pipelines. */
export const ActivityContext = createContext<Activity | null>(null);

/** The meters of all pipelines. */
export function useActivity(): Activity {
  const activity = use(ActivityContext);
  if (!activity) throw new Error("there is no ActivityContext above this component");
  return activity;
}

/** The token of this page. */
export const SessionContext = createContext<TokenSession | null>(null);

/** The token of this page. */
export function useSession(): TokenSession {
  const session = use(SessionContext);
  if (!session) throw new Error("there is no SessionContext above this component");
  return session;
}

/** What may be known of the token of this page. */
export function useStanding(): Standing {
  const { subscribe, standing } = useSession();
  return useSyncExternalStore(subscribe, standing);
}

/** The hub's time in milliseconds, by the second: who uses it is drawn each second. */
export const useNow = (): number => useHubNow() ?? 0;

const address = new AddressBar(window);
const onView = (listener: () => void): (() => void) => address.subscribe(listener);
const currentView = (): View => address.view;

/** Shows something else; `push` makes the back button lead back to what was shown. */
export const show = (change: Partial<View>, how: How = "push"): void => address.show(change, how);

/** Goes back to what was shown before this, where that was this page; else shows something else in its place. */
export const back = (otherwise: Partial<View>): void => address.back(otherwise);

/** What is to be shown, as the address says. */
export const useAddress = (): View => useSyncExternalStore(onView, currentView);

/** Calls back for keys pressed on the page, unless a dialog is open or a modifier is held. */
export function useKeys(onKey: (event: KeyboardEvent, isTyping: boolean) => void): void {
  const latest = useRef(onKey);
  useEffect(() => {
    latest.current = onKey;
  });
  useEffect(() => {
    const listener = (event: KeyboardEvent): void => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (document.querySelector("dialog[open]")) return;
      const { target } = event;
      const isTyping = target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
      latest.current(event, isTyping);
    };
    document.addEventListener("keydown", listener);
    return () => document.removeEventListener("keydown", listener);
  }, []);
}
