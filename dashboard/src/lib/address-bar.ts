// The view in the address bar: read from it, and written to it, but not more often than browsers let a page.
//
// What may come in: a change with every key that is pressed. What it never does: let the page wait for the address, or
// fail because a browser does not take it (Safari takes 100 in 30 seconds, and throws then).
import { readView, type View, writeView } from "./address.js";

/** At most once in so many milliseconds is an entry replaced. */
export const WRITE_EVERY_MS = 300;

/** What of a window is used. */
export interface Bar {
  readonly location: { readonly hash: string };
  readonly history: Pick<History, "state" | "pushState" | "replaceState" | "back">;
  addEventListener(name: string, listener: () => void): void;
}

/** How a view becomes another entry: one more, to come back from, or in place of the last. */
export type How = "push" | "replace";

const isOurs = (state: unknown): boolean => (state as { from?: unknown } | null)?.from === "ragpulse";

/** The view, as the address says or will say. */
export class AddressBar {
  readonly #bar: Bar;
  readonly #listeners = new Set<() => void>();
  #read: { readonly hash: string; readonly view: View } = { hash: "", view: readView("") };
  /** What is shown, and not yet in the address. */
  #ahead: View | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(bar: Bar) {
    this.#bar = bar;
    // Whoever goes elsewhere means that, and not what was about to be written.
    const moved = (): void => {
      this.#ahead = null;
      this.#tell();
    };
    bar.addEventListener("popstate", moved);
    bar.addEventListener("hashchange", moved);
    bar.addEventListener("pagehide", () => this.#write("replace"));
  }

  /** The view; the same object as long as it is the same. */
  get view(): View {
    if (this.#ahead) return this.#ahead;
    const { hash } = this.#bar.location;
    if (hash !== this.#read.hash) this.#read = { hash, view: readView(hash) };
    return this.#read.view;
  }

  /** Calls back after each change, until the function that it gives is called. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Shows something else. */
  show(change: Partial<View>, how: How): void {
    const next = { ...this.view, ...change };
    if (writeView(next) === writeView(this.view)) return;
    // What is come back to has to be what was left.
    if (how === "push") this.#write("replace");
    this.#ahead = next;
    if (how === "push" || this.#timer === null) {
      this.#write(how);
      this.#rest();
    }
    this.#tell();
  }

  /** Goes back to what was shown before, where that was this page; else shows something else in its place. */
  back(otherwise: Partial<View>): void {
    this.#write("replace");
    if (isOurs(this.#bar.history.state)) this.#bar.history.back();
    else this.show(otherwise, "replace");
  }

  /** Writes nothing for a while, and then what has come up meanwhile. */
  #rest(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (!this.#ahead) return;
      this.#write("replace");
      this.#rest();
    }, WRITE_EVERY_MS);
  }

  /** Writes what is ahead of the address; where the browser does not take it, it stays ahead. */
  #write(how: How): void {
    if (!this.#ahead) return;
    const { history } = this.#bar;
    const fragment = writeView(this.#ahead);
    try {
      if (how === "push") history.pushState({ from: "ragpulse" }, "", fragment);
      else history.replaceState(history.state, "", fragment);
      this.#ahead = null;
    } catch {
      // It is tried again after the rest.
    }
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
