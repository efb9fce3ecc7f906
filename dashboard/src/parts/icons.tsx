// The icons, drawn once and used by name.
import type { FileState } from "@ragpulse/client";
import type { ReactElement } from "react";
import { STATE_NAMES } from "./names.js";

export type IconName = FileState | "all" | "search" | "close" | "pulse" | "help" | "system" | "light" | "dark" | "retry" | "key" | "leave" | "eye" | "copy" | "arrow";

/** Makes the icons known; once, at the beginning of the page. */
export const Icons = (): ReactElement => (
  <svg className="sprite" aria-hidden="true" focusable="false">
    <symbol id="i-queued" viewBox="0 0 16 16"><circle cx="8" cy="8" r="5.5" /><path d="M8 5v3.2l2 1.3" /></symbol>
    <symbol id="i-processing" viewBox="0 0 16 16"><path d="M13.5 8A5.5 5.5 0 1 1 8 2.5" /><circle cx="8" cy="8" r="1.6" className="solid" /></symbol>
    <symbol id="i-completed" viewBox="0 0 16 16"><path d="m3 8.6 3.2 3.2L13 5" /></symbol>
    <symbol id="i-failed" viewBox="0 0 16 16"><path d="m4 4 8 8m0-8-8 8" /></symbol>
    <symbol id="i-skipped" viewBox="0 0 16 16"><path d="m3.5 4.5 4 3.5-4 3.5m5-7 4 3.5-4 3.5" /></symbol>
    <symbol id="i-cancelled" viewBox="0 0 16 16"><circle cx="8" cy="8" r="5.5" /><path d="m4.2 11.8 7.6-7.6" /></symbol>
    <symbol id="i-all" viewBox="0 0 16 16"><path d="M3 4.5h10M3 8h10M3 11.5h10" /></symbol>
    <symbol id="i-search" viewBox="0 0 16 16"><circle cx="7" cy="7" r="4" /><path d="m10 10 3.5 3.5" /></symbol>
    <symbol id="i-close" viewBox="0 0 16 16"><path d="m4 4 8 8m0-8-8 8" /></symbol>
    <symbol id="i-pulse" viewBox="0 0 24 24"><path d="M2 13h4.4l2.4-6.4 4.6 11.6L16 11l1.2 2H22" /></symbol>
    <symbol id="i-help" viewBox="0 0 16 16"><path d="M5.6 6a2.4 2.4 0 1 1 3.5 2.1c-.8.4-1.1.8-1.1 1.6" /><circle cx="8" cy="12.4" r=".9" className="solid" /></symbol>
    <symbol id="i-system" viewBox="0 0 16 16"><rect x="2" y="3" width="12" height="8" rx="1.5" /><path d="M5.5 13.5h5" /></symbol>
    <symbol id="i-light" viewBox="0 0 16 16"><circle cx="8" cy="8" r="2.8" /><path d="M8 1.8v1.4m0 9.6v1.4M1.8 8h1.4m9.6 0h1.4M3.6 3.6l1 1m6.8 6.8 1 1m0-8.8-1 1m-6.8 6.8-1 1" /></symbol>
    <symbol id="i-dark" viewBox="0 0 16 16"><path d="M13.2 9.8A5.6 5.6 0 0 1 6.2 2.8a5.6 5.6 0 1 0 7 7Z" /></symbol>
    <symbol id="i-retry" viewBox="0 0 16 16"><path d="M13 8a5 5 0 1 1-1.5-3.5L13 6m0-3.2V6H9.8" /></symbol>
    <symbol id="i-key" viewBox="0 0 16 16"><circle cx="5.4" cy="10.6" r="2.9" /><path d="m7.5 8.5 5.8-5.8M11 5l1.8 1.8" /></symbol>
    <symbol id="i-leave" viewBox="0 0 16 16"><path d="M9.5 2.500H3.800a1 1 0 0 0-1 1v9a1 1 0 0 0 1 1h5.700M6.800 8h6.900m-2.600-2.700L13.800 8l-2.700 2.700" /></symbol>
    <symbol id="i-eye" viewBox="0 0 16 16"><path d="M1.800 8S4 3.800 8 3.800 14.200 8 14.200 8 12 12.200 8 12.200 1.800 8 1.800 8Z" /><circle cx="8" cy="8" r="1.900" /></symbol>
    <symbol id="i-copy" viewBox="0 0 16 16"><rect x="5.5" y="5.5" width="8" height="8" rx="1.5" /><path d="M3.5 10.5h-.2A.8.8 0 0 1 2.5 9.700V3.3c0-.4.4-.8.8-.8h6.400c.4 0 .8.4.8.8v.2" /></symbol>
    <symbol id="i-arrow" viewBox="0 0 16 16"><path d="m6 4 4 4-4 4" /></symbol>
  </svg>
);

/** One icon; what it means stands beside it, or on the button. */
export const Icon = ({ name }: { name: IconName }): ReactElement => (
  <svg className="icon rp-icon" aria-hidden="true" focusable="false"><use href={`#i-${name}`} /></svg>
);

/** A file's state, by icon, word and colour. */
export const Badge = ({ state }: { state: FileState }): ReactElement => (
  <span className="rp-badge" data-state={state}>
    <Icon name={state} />
    {STATE_NAMES[state] ?? state}
  </span>
);
