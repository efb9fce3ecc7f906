// What happened to one file, from the hub's history, and what happens to it while one looks.
//
// What may come in: thousands of progress reports, events of earlier lives of the pipeline, events of later versions;
// states that come in place of events. What it never does: list an event twice, or each progress report by itself; keep
// each report that comes while one looks.
import type { NamedEvent } from "@ragpulse/client";
import { type ComponentPropsWithoutRef, type ReactElement, useEffect, useInsertionEffect, useMemo, useRef, useState } from "react";

import { usePipelineStore } from "../hooks.js";
import { useHistory } from "../pages.js";
import { failureName } from "./FileRow.js";
import { count, dayAndTime, percent, shown, span, timeOfDay, words } from "./format.js";
import { fill, type LabelOverrides, type Labels, useLabels } from "./labels.js";
import { stageName } from "./StageProgress.js";
import { useIsLocal } from "./time.js";

/** What {@link FileTimeline} takes, beside what a `div` takes. */
export interface FileTimelineProps extends Omit<ComponentPropsWithoutRef<"div">, "children"> {
  /** The pipeline's id. */
  readonly pipeline: string;
  /** The file's id. */
  readonly file: string;
  /** How many events are fetched at once, up to 1,000, which is the default. */
  readonly pageSize?: number;
  /** Other texts. */
  readonly labels?: LabelOverrides;
}

/** One line: an event, or progress reports in a row of one stage. */
interface Entry {
  /** That of its first event. */
  readonly key: string;
  /** The key of its last event. */
  readonly last: string;
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly reports: number;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === "object" && value !== null;
const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
const keyOf = ({ data }: NamedEvent): string => `${textOf(data["epoch"])} ${String(data["seq"])}`;

/** Adds a line, or makes it part of the last one. */
function append(entries: Entry[], entry: Entry): void {
  const last = entries.at(-1);
  const isSame = entry.event === "file:progress" && last?.event === entry.event && last.data["processing_stage"] === entry.data["processing_stage"];
  if (last && isSame) entries[entries.length - 1] = { ...entry, key: last.key, reports: last.reports + entry.reports };
  else entries.push(entry);
}

const entryOf = (named: NamedEvent): Entry => {
  const key = keyOf(named);
  return { key, last: key, event: named.event, data: named.data, reports: 1 };
};

/** Events as lines: progress reports in a row of one stage become one, which stands for the last. */
export function entriesOf(events: readonly NamedEvent[], seen = new Set<string>()): readonly Entry[] {
  const entries: Entry[] = [];
  for (const named of events) {
    const entry = entryOf(named);
    if (!seen.has(entry.key)) append(entries, entry);
    seen.add(entry.key);
  }
  return entries;
}

function nameOf({ event, data }: Entry, labels: Labels): string {
  const state = event.replace(/^file:/, "");
  if (event === "file:progress" || event === "file:processing") {
    const stage = textOf(data["processing_stage"]);
    return stage ? stageName(stage, labels) : labels.states.processing;
  }
  return (Object.hasOwn(labels.states, state) && labels.states[state as keyof Labels["states"]]) || words(state);
}

function stateOf(event: string): string {
  const state = event.replace(/^file:/, "");
  return state === "progress" ? "processing" : state === "retrying" ? "queued" : state;
}

function detailOf({ data, reports, event }: Entry, labels: Labels): string {
  const { text, locale } = labels;
  const { error, results, progress, attempt, reason, message, current, total, unit } = data;
  const parts = [
    typeof progress === "number" ? percent(progress, locale) : "",
    typeof current === "number" && typeof total === "number"
      ? fill(text.unitsOf, count(current, locale), count(total, locale), shown(textOf(unit))).trim() : "",
    event === "file:progress" && reports > 1 ? fill(text.progressEvents, count(reports, locale)) : "",
    isObject(error) ? `${failureName({ type: textOf(error["type"]), stage: textOf(error["stage"]) }, labels)}: ${shown(textOf(error["message"]))}` : "",
    isObject(results) && typeof results["chunks_created"] === "number" ? fill(text.chunks, count(results["chunks_created"], locale)) : "",
    isObject(results) && typeof results["processing_duration"] === "number" ? span(results["processing_duration"], locale) : "",
    typeof reason === "string" ? words(reason) : "",
    shown(textOf(message)),
    typeof attempt === "number" && attempt > 1 ? fill(text.attempt, count(attempt, locale)) : "",
  ];
  return parts.filter(Boolean).join(" · ");
}

/** The lines of one file: its history, and below it what came since. */
function useLines(pipeline: string, file: string, limit: number) {
  const store = usePipelineStore();
  const { items, isLoading, error, hasMore, loadMore, reload } = useHistory(pipeline, { file, limit });
  const past = useMemo(() => {
    const seen = new Set<string>();
    return { entries: entriesOf(items, seen), seen };
  }, [items]);
  const [version, setVersion] = useState(0);
  // Changed in place; the version says that it was. `beside` is the history in which none of it is.
  const live = useRef<{ entries: Entry[]; beside: unknown }>({ entries: [], beside: null });
  const now = useRef({ past, isLoading, hasMore });
  useInsertionEffect(() => {
    now.current = { past, isLoading, hasMore };
  });
  useEffect(() => {
    live.current = { entries: [], beside: null };
    return store.onUpdate((update) => {
      if (update.kind === "connection" || update.pipeline !== pipeline) return;
      if (update.kind === "snapshot" || update.kind === "reset" || update.kind === "removed") {
        // What happened in between is in the history, if anywhere.
        live.current = { entries: [], beside: null };
        reload();
      }
      if (update.kind !== "event") return;
      const { event, data } = update.event;
      const subject = (data as Readonly<Record<string, unknown>>)["file"];
      if (!isObject(subject) || subject["id"] !== file) return;
      const entry = entryOf({ event, data: data as Record<string, unknown> });
      const { past, isLoading, hasMore } = now.current;
      const own = live.current;
      if (isLoading) {
        // It may be in the page that comes, or not, so it is not made part of another.
        own.entries.push(entry);
      } else if (hasMore) {
        // A later page has it.
        own.entries = [];
      } else {
        if (own.beside !== past) live.current = { entries: own.entries.filter(({ last }) => !past.seen.has(last)), beside: past };
        if (past.seen.has(entry.key)) return;
        append(live.current.entries, entry);
        setVersion((last) => last + 1);
      }
    });
  }, [store, pipeline, file, reload]);
  const entries = useMemo(() => {
    if (isLoading || hasMore) return past.entries;
    const all = [...past.entries];
    for (const entry of live.current.entries) if (!past.seen.has(entry.last)) append(all, entry);
    return all;
  }, [past, isLoading, hasMore, version]);
  return { entries, isLoading, error, hasMore, loadMore };
}

/** What happened to one file. */
export function FileTimeline({ pipeline, file, pageSize = 1_000, labels: over, className, ...rest }: FileTimelineProps): ReactElement {
  const labels = useLabels(over);
  const { text, locale } = labels;
  const isLocal = useIsLocal();
  const { entries, isLoading, error, hasMore, loadMore } = useLines(pipeline, file, pageSize);
  const isEmpty = entries.length === 0 && !isLoading && error === null;
  return (
    <div {...rest} className={`rp-timeline ${className ?? ""}`.trim()} aria-busy={isLoading || undefined}>
      <ol aria-label={fill(text.history, shown(file))}>
        {entries.map((entry) => {
          const time = textOf(entry.data["timestamp"]);
          return (
            <li key={entry.key} data-state={stateOf(entry.event)}>
              <span className="rp-dot" aria-hidden="true" />
              <b>{nameOf(entry, labels)}</b>
              <time dateTime={time} title={dayAndTime(time, locale, isLocal)}>{timeOfDay(time, locale, isLocal)}</time>
              <p>{detailOf(entry, labels)}</p>
            </li>
          );
        })}
      </ol>
      {isLoading && <p className="rp-end">{text.loading}</p>}
      {isEmpty && <p className="rp-end">{text.noHistory}</p>}
      {error !== null && (
        <p className="rp-end">
          <span role="alert">{fill(text.historyFailed, error instanceof Error ? error.message : String(error))}</span>{" "}
          <button type="button" className="rp-button" onClick={loadMore}>{text.retry}</button>
        </p>
      )}
      {hasMore && !isLoading && error === null && <button type="button" className="rp-button" onClick={loadMore}>{text.loadMore}</button>}
    </div>
  );
}
