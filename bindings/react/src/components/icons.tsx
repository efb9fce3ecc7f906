// The pictures of the states of files. Each stands beside its word.
import type { FileState } from "@ragpulse/client";
import type { ReactElement } from "react";

const PATHS: Readonly<Record<FileState | "all" | "search", ReactElement>> = {
  queued: <><circle cx="8" cy="8" r="5.5" /><path d="M8 5v3.2l2 1.3" /></>,
  processing: <><path d="M13.5 8A5.5 5.5 0 1 1 8 2.5" /><circle className="rp-solid" cx="8" cy="8" r="1.6" /></>,
  completed: <path d="m3 8.6 3.2 3.2L13 5" />,
  failed: <path d="m4 4 8 8m0-8-8 8" />,
  skipped: <path d="m3.5 4.5 4 3.5-4 3.5m5-7 4 3.5-4 3.5" />,
  cancelled: <><circle cx="8" cy="8" r="5.5" /><path d="m4.2 11.8 7.6-7.6" /></>,
  all: <path d="M3 4.5h10M3 8h10M3 11.5h10" />,
  search: <><circle cx="7" cy="7" r="4" /><path d="m10 10 3.5 3.5" /></>,
};

/** A picture that says nothing by itself. */
export function Icon({ of }: { readonly of: keyof typeof PATHS }): ReactElement {
  return <svg className="rp-icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">{PATHS[of]}</svg>;
}
