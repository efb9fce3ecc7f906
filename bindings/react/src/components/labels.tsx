// What the components say, in English, and how to have them say something else.
//
// What may come in: other texts for some or all of it. What it never does: blame somebody who is not at fault, or leave
// open what happens next.
import type { Cause, ConnectionState, FileState, Liveness } from "@ragpulse/client";
import { createContext, type ReactElement, type ReactNode, useContext, useMemo } from "react";

import { span } from "./format.js";

/** Every text of the components. */
export interface Labels {
  /** The language of numbers and times, as a BCP 47 tag. */
  readonly locale: string;
  /** Where files stand. */
  readonly states: Readonly<Record<FileState, string>>;
  /** Whether a pipeline's reporters are heard. */
  readonly liveness: Readonly<Record<Liveness, string>>;
  /** By what updates come. */
  readonly connection: Readonly<Record<ConnectionState, string>>;
  /** Why it is not connected by socket, or not at all: whose fault it is. */
  readonly causes: { readonly [K in Cause["kind"]]: (cause: Extract<Cause, { kind: K }>) => string };
  /** What happens next, said after a cause. */
  readonly next: Readonly<Record<ConnectionState, string>>;
  /** The names of the stages; one that is not named here is said as it is written. */
  readonly stages: Readonly<Record<string, string>>;
  /** Everything else. `{0}`, `{1}` stand for what is filled in. */
  readonly text: Readonly<Record<keyof typeof TEXT, string>>;
}

/** Some texts in place of the English ones. */
export type LabelOverrides = { readonly [K in keyof Labels]?: Labels[K] extends string ? string : Partial<Labels[K]> };

const TEXT = {
  connection: "Connection",
  dataNow: "data now",
  dataAge: "data {0} old",
  latency: "{0} ms",
  retry: "Try again now",
  details: "Details of the connection",
  roundTrip: "Round trip",
  dataAgeName: "Age of the data",
  announce: "Connection: {0}.",
  waitingFor: "Waiting for “{0}”",
  stateOnItsWay: "Its state is on its way.",
  lastEvent: "{0}, last event {1}",
  ago: "{0} ago",
  now: "now",
  started: "started {0}",
  stopped: "stopped {0}",
  stoppedWhy: "stopped {0} ({1})",
  checking: "checking its source now",
  nextCheck: "next check in {0}",
  nextCheckAt: "next check {0}",
  checksEvery: "checks every {0}",
  finished: "Finished",
  finishedOf: "of {0} · {1}",
  counts: "Files by state",
  noFilesYet: "No files yet",
  progressOf: "Progress of {0}",
  working: "Working",
  stageOf: "stage {0} of {1}",
  unitsOf: "{0} of {1} {2}",
  left: "{0} left",
  soFar: "so far",
  waiting: "waiting",
  files: "Files",
  all: "All",
  filter: "Filter by state",
  search: "Search name, path, cause",
  columnState: "State",
  columnFile: "File",
  columnProgress: "Progress",
  columnTime: "Time",
  noFiles: "No files.",
  noFilesIn: "No files are {0}.",
  noMatch: "No file matches “{0}”.",
  loading: "Loading…",
  shownOf: "{0} of {1} files",
  loadFailed: "The other files could not be loaded: {0}",
  historyFailed: "The history could not be loaded: {0}",
  history: "History of {0}",
  noHistory: "The hub keeps no history of this file.",
  loadMore: "Show more",
  attempt: "attempt {0}",
  attemptOf: "attempt {0} of {1}",
  inStage: "{0} in {1}",
  retryIn: "Retry in {0}",
  retryDue: "Retry due",
  waitingAgain: "Waiting again",
  after: "after {0}",
  before: "{0} before it",
  chunks: "{0} chunks",
  oneChunk: "1 chunk",
  warnings: "{0} warnings",
  oneWarning: "1 warning",
  sameAs: "same as {0}",
  by: "by {0}",
  noName: "(no name)",
  progressEvents: "{0} progress reports",
};

/** What a sentence still needs at its end. */
const end = (sentence: string): string => (/[.!?]$/.test(sentence) ? "" : ".");

const DEFAULT: Labels = {
  locale: "en",
  states: {
    queued: "Queued", processing: "Processing", completed: "Completed", failed: "Failed", skipped: "Skipped", cancelled: "Cancelled",
  },
  liveness: { live: "Live", late: "Late", lost: "Lost", offline: "Offline" },
  connection: {
    connecting: "Connecting", websocket: "WebSocket", polling: "Polling", waiting: "Hub not reached", closed: "Closed",
  },
  causes: {
    chosen: () => "This page is set to poll instead of using a socket.",
    advised: () => "The hub asked this page to poll for now.",
    failed: ({ message }) => `The hub could not be reached, or the connection to it broke: ${message}.`,
    offline: () => "This device has no network.",
    refused: ({ message }) => `Something on the way to the hub, such as a proxy, does not let a socket through: ${message}.`,
    rejected: ({ code, message }) =>
      code === "unauthorized" || code === "forbidden"
        ? `The hub does not let this page in: ${message}${end(message)} Sign in again, or ask whoever runs the hub.`
        : `The hub refused: ${message}.`,
    silence: ({ afterMs }) => `The hub was not heard for ${span(afterMs / 1_000, "en")}; the network or the hub is stuck.`,
    hub_closing: ({ retryAfterMs }) =>
      retryAfterMs > 0 ? `The hub is being restarted and asked for ${span(retryAfterMs / 1_000, "en")}.` : "The hub is being restarted.",
    closed: () => "This page has closed the connection.",
  },
  next: {
    connecting: "The hub is being called.",
    websocket: "Updates come as they happen.",
    polling: "The same updates are fetched by HTTP, with nothing lost.",
    waiting: "It is tried again by itself, and goes on where it stopped.",
    closed: "Nothing is tried again by itself.",
  },
  stages: { extraction: "Extraction", chunking: "Chunking", embedding: "Embedding", storing: "Storing" },
  text: TEXT,
};

function merged(base: Labels, over: LabelOverrides | undefined): Labels {
  if (!over) return base;
  const entries = Object.entries(over).map(([key, value]) => [
    key, typeof value === "object" ? { ...(base[key as keyof Labels] as object), ...value } : value,
  ]);
  return { ...base, ...(Object.fromEntries(entries) as Partial<Labels>) };
}

const Context = createContext(DEFAULT);

/** Gives the components below it other texts. Those that are not given stay as they are. */
export function LabelsProvider({ labels, children }: { readonly labels: LabelOverrides; readonly children?: ReactNode }): ReactElement {
  return <Context.Provider value={useLabels(labels)}>{children}</Context.Provider>;
}

/** The texts in force, with some in place of them. */
export function useLabels(over?: LabelOverrides): Labels {
  const base = useContext(Context);
  return useMemo(() => merged(base, over), [base, over]);
}

/** Fills in a text. */
export const fill = (text: string, ...values: readonly string[]): string =>
  text.replace(/\{(\d)\}/g, (_, place: string) => values[Number(place)] ?? "");

/** Why the connection is as it is, and what happens next; empty where there is nothing to say. */
export function explain(labels: Labels, state: ConnectionState, cause: Cause | null): string {
  if (!cause) return state === "connecting" || state === "websocket" ? labels.next[state] : "";
  const why = (labels.causes[cause.kind] as (cause: Cause) => string)(cause).replace(/([.!?])\.$/, "$1");
  return `${why} ${labels.next[state]}`.trim();
}
