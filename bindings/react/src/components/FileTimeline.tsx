// What happened to one file, from the hub's history, and what happens to it while one looks.
//
// What may come in: thousands of progress reports, events of earlier lives of the pipeline, events of later versions.
// What it never does: list an event twice, or each progress report by itself.
import type { NamedEvent } from "@ragpulse/client";
import { type ComponentPropsWithoutRef, type ReactElement, useEffect, useMemo, useState } from "react";

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
  readonly key: string;
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly reports: number;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === "object" && value !== null;
const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
const keyOf = ({ data }: NamedEvent): string => `${textOf(data["epoch"])} ${String(data["seq"])}`;

/** Events as lines: progress reports in a row of one stage become one, which stands for the last. */
export function entriesOf(events: readonly NamedEvent[]): readonly Entry[] {
  const entries: Entry[] = [];
  const seen = new Set<string>();
  for (const named of events) {
    const key = keyOf(named);
    if (seen.has(key)) continue;
    seen.add(key);
    const { event, data } = named;
    const last = entries.at(-1);
    const isSame = event === "file:progress" && last?.event === event && last.data["processing_stage"] === data["processing_stage"];
    if (last && isSame) entries[entries.length - 1] = { ...last, data, reports: last.reports + 1 };
    else entries.push({ key, event, data, reports: 1 });
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

/** What came while one looks, of one file. */
function useLive(pipeline: string, file: string): readonly NamedEvent[] {
  const store = usePipelineStore();
  const [live, setLive] = useState<{ readonly of: string; readonly events: readonly NamedEvent[] }>({ of: "", events: [] });
  const of = JSON.stringify([pipeline, file]);
  useEffect(() => store.onUpdate((update) => {
    if (update.kind !== "event" || update.pipeline !== pipeline) return;
    const { event, data } = update.event;
    const subject = (data as Readonly<Record<string, unknown>>)["file"];
    if (!isObject(subject) || subject["id"] !== file) return;
    setLive((last) => ({ of, events: [...(last.of === of ? last.events : []), { event, data: data as Record<string, unknown> }] }));
  }), [store, pipeline, file, of]);
  return live.of === of ? live.events : NONE;
}
const NONE: readonly NamedEvent[] = [];

/** What happened to one file. */
export function FileTimeline({ pipeline, file, pageSize = 1_000, labels: over, className, ...rest }: FileTimelineProps): ReactElement {
  const labels = useLabels(over);
  const { text, locale } = labels;
  const isLocal = useIsLocal();
  const { items, isLoading, error, hasMore, loadMore } = useHistory(pipeline, { file, limit: pageSize });
  const live = useLive(pipeline, file);
  const entries = useMemo(() => entriesOf(hasMore ? items : [...items, ...live]), [items, live, hasMore]);
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
