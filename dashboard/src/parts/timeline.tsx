// What happened to one file: from the history that the hub keeps, and live from then on.
import { HubError, type NamedEvent } from "@ragpulse/client";
import { useHistory, usePipelineStore } from "@ragpulse/react";
import { type ReactElement, useEffect, useMemo, useState } from "react";
import { dateAndTime, span, timeOfDay } from "../lib/format.js";
import { type Entry, foldTimeline } from "../lib/timeline.js";

/** So many of the newest events are kept while the sheet is open, beside those of the history. */
const LIVE = 5_000;
const PAGE = 1_000;

const placeOf = ({ data }: NamedEvent): string => `${String(data["epoch"])}/${String(data["seq"])}`;

function useEvents(pipeline: string, file: string) {
  const store = usePipelineStore();
  const { items, isLoading, error, hasMore, loadMore, reload } = useHistory(pipeline, { file, limit: PAGE });
  const [live, setLive] = useState<readonly NamedEvent[]>([]);
  useEffect(() => store.onUpdate((update) => {
    if (!("pipeline" in update) || update.pipeline !== pipeline) return;
    // Events have been missed, so the hub is asked again.
    if (update.kind === "snapshot") reload();
    if (update.kind !== "event") return;
    const { event, data } = update.event;
    if ((data as { file?: { id?: unknown } }).file?.id !== file) return;
    setLive((before) => [...before.slice(-LIVE + 1), { event, data: data as unknown as Record<string, unknown> }]);
  }), [store, pipeline, file, reload]);
  const events = useMemo(() => {
    // What came live comes after the last page.
    if (hasMore) return items;
    const known = new Set(items.map(placeOf));
    return [...items, ...live.filter((event) => !known.has(placeOf(event)))];
  }, [items, live, hasMore]);
  return { events, isLoading, error, hasMore, loadMore };
}

function timeOf({ from, to }: Entry): string {
  if (!Number.isFinite(from)) return "";
  const begin = timeOfDay(new Date(from).toISOString());
  return to - from < 1_000 ? begin : `${begin} – ${timeOfDay(new Date(to).toISOString())}`;
}

export function Timeline({ pipeline, file }: { pipeline: string; file: string }): ReactElement {
  const { events, isLoading, error, hasMore, loadMore } = useEvents(pipeline, file);
  const entries = useMemo(() => foldTimeline(events), [events]);
  return (
    <section className="timeline" aria-labelledby="timeline-title">
      <h3 className="overline" id="timeline-title">Timeline</h3>
      {entries.length > 0 && (
        <ol>
          {entries.map((entry) => (
            <li key={entry.key} data-event={entry.event}>
              <span className="timeline-title">{entry.title}</span>
              <time title={Number.isFinite(entry.from) ? dateAndTime(new Date(entry.from).toISOString()) : ""}>{timeOf(entry)}</time>
              <span className="timeline-detail">
                {entry.detail}
                {entry.after !== null && entry.after >= 0.01 && <span className="timeline-after">+{span(entry.after)}</span>}
              </span>
            </li>
          ))}
        </ol>
      )}
      {isLoading && entries.length === 0 && <p className="soft">Asking the hub…</p>}
      {!isLoading && entries.length === 0 && error === null && <p className="soft">The hub keeps nothing of what happened to it any more.</p>}
      {error !== null && error !== undefined && (
        <p className="soft">
          {error instanceof HubError ? `The hub said no: ${error.message}` : "The hub did not answer."}{" "}
          <button type="button" className="text-button" onClick={loadMore}>Try again</button>
        </p>
      )}
      {hasMore && !isLoading && <button type="button" className="button" onClick={loadMore}>Show what came later</button>}
    </section>
  );
}
