// What the page shows, as it stands in its address after `#`, so that it can be shared and the back button works.
//
// What may come in: any fragment; what is not understood is as if it were not there. What it never does: hold a token.
import type { FileState } from "@ragpulse/client";

/** Which files are listed: those in a state, or all. */
export type Filter = FileState | "all";

/** The states in the order in which people look for them. */
export const FILTERS: readonly Filter[] = ["all", "processing", "queued", "completed", "failed", "skipped", "cancelled"];

/** What is to be shown. */
export interface View {
  /** The pipeline, or null for the one where most is going on. */
  readonly pipeline: string | null;
  /** Files in which state. */
  readonly filter: Filter;
  /** What to search for in names, paths, ids and causes. */
  readonly query: string;
  /** The id of the file whose sheet is open, or null. */
  readonly file: string | null;
}

/** Longer than anybody types, shorter than what would slow the page. */
const LONGEST = 200;

const isFilter = (text: string | null): text is Filter => FILTERS.includes(text as Filter);

/** Reads a fragment, with or without `#`. */
export function readView(fragment: string): View {
  const asked = new URLSearchParams(fragment.replace(/^#/, ""));
  const filter = asked.get("state");
  return {
    pipeline: asked.get("pipeline") || null,
    filter: isFilter(filter) ? filter : "all",
    query: (asked.get("q") ?? "").slice(0, LONGEST),
    file: asked.get("file") || null,
  };
}

/** The fragment for a view, with `#`. */
export function writeView({ pipeline, filter, query, file }: View): string {
  const address = new URLSearchParams();
  if (pipeline) address.set("pipeline", pipeline);
  if (filter !== "all") address.set("state", filter);
  if (query) address.set("q", query);
  if (file) address.set("file", file);
  return `#${address.toString()}`;
}
