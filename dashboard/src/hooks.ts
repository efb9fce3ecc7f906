// What the parts of the page share: the meters, the hub's time, the address, media queries, keys.
import { useNow as useHubNow } from "@ragpulse/react/components";
import { createContext, use, useEffect, useRef, useSyncExternalStore } from "react";
import type { Activity } from "./lib/activity.js";
import { readView, type View, writeView } from "./lib/address.js";

/** The meters of all pipelines. */
export const ActivityContext = createContext<Activity | null>(null);

/** The meters of all pipelines. */
export function useActivity(): Activity {
  const activity = use(ActivityContext);
  if (!activity) throw new Error("there is no ActivityContext above this component");
  return activity;
}

/** The hub's time in milliseconds, by the second: who uses it is drawn each second. */
export const useNow = (): number => useHubNow() ?? 0;

const viewers = new Set<() => void>();
function onView(listener: () => void): () => void {
  viewers.add(listener);
  addEventListener("popstate", listener);
  addEventListener("hashchange", listener);
  return () => {
    viewers.delete(listener);
    removeEventListener("popstate", listener);
    removeEventListener("hashchange", listener);
  };
}
let lastView: { readonly hash: string; readonly view: View } = { hash: "\0", view: readView("") };
function currentView(): View {
  const { hash } = location;
  if (hash !== lastView.hash) lastView = { hash, view: readView(hash) };
  return lastView.view;
}

/** Shows something else; `push` makes the back button lead back to what was shown. */
export function show(change: Partial<View>, how: "push" | "replace" = "push"): void {
  const fragment = writeView({ ...currentView(), ...change });
  if (fragment === writeView(currentView())) return;
  if (how === "push") history.pushState({ from: "ragpulse" }, "", fragment);
  else history.replaceState(history.state, "", fragment);
  for (const listener of [...viewers]) listener();
}

/** Goes back to what was shown before this, where that was this page; else shows something else in its place. */
export function back(otherwise: Partial<View>): void {
  if ((history.state as { from?: unknown } | null)?.from === "ragpulse") history.back();
  else show(otherwise, "replace");
}

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
