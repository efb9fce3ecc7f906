// What happened to one file, from the history of its pipeline, as a few entries that can be read.
//
// What may come in: a hub's history of one file: any events, also ones of later versions, oldest first. What it never
// does: leave out an event; many of progress become one entry that says how many they are.
import type { NamedEvent } from "@ragpulse/client";
import { count, percent, quantity, span, words } from "./format.js";
import { kindOf, shown } from "./text.js";

/** One thing that happened, or a run of progress. */
export interface Entry {
  /** What sets it apart from the others of the timeline. */
  readonly key: string;
  /** The event's name. */
  readonly event: string;
  /** In words. */
  readonly title: string;
  /** More about it; may be empty. */
  readonly detail: string;
  /** When the hub heard of it, or of the first of a run, in milliseconds since 1970. */
  readonly from: number;
  /** The same for the last of a run. */
  readonly to: number;
  /** Seconds since the entry before it; null for the first. */
  readonly after: number | null;
}

const text = (value: unknown): string => (typeof value === "string" ? shown(value) : "");
const number = (value: unknown): number | undefined => (typeof value === "number" && Number.isFinite(value) ? value : undefined);
const object = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
const join = (parts: readonly (string | false | undefined)[]): string => parts.filter(Boolean).join(" · ");
const timeOf = ({ data }: NamedEvent): number => Date.parse(text(data["received_at"]) || text(data["timestamp"]));

function describe({ event, data }: NamedEvent): [title: string, detail: string] {
  const stage = text(data["processing_stage"]);
  const attempt = number(data["attempt"]);
  const most = number(data["max_attempts"]);
  const which = attempt !== undefined && (attempt > 1 || most !== undefined) && `attempt ${count(attempt)}${most ? ` of ${count(most)}` : ""}`;
  const error = object(data["error"]);
  const message = text(error["message"]);
  switch (event) {
    case "file:queued": {
      const change = text(data["change"]);
      const before = number(data["queue_position"]);
      return ["Queued", join([change && words(change), before !== undefined && `${count(before)} before it`])];
    }
    case "file:processing":
      return [stage ? words(stage) : "Work began", join([which])];
    case "file:completed": {
      const results = object(data["results"]);
      const chunks = number(results["chunks_created"]);
      const vectors = number(results["embeddings_generated"]);
      const took = number(results["processing_duration"]);
      const warnings = Array.isArray(data["warnings"]) ? data["warnings"].length : 0;
      return [
        "Completed",
        join([
          chunks !== undefined && quantity(chunks, "chunk"),
          vectors !== undefined && quantity(vectors, "vector"),
          took !== undefined && `took ${span(took)}`,
          warnings > 0 && quantity(warnings, "warning"),
        ]),
      ];
    }
    case "file:failed": {
      const type = text(error["type"]);
      return ["Failed", join([type && kindOf({ type, ...(text(error["stage"]) && { stage: text(error["stage"]) }) }), message])];
    }
    case "file:retrying":
      return ["Waits for another attempt", join([which, message])];
    case "file:skipped":
      return ["Skipped", join([words(text(data["reason"])), text(data["message"])])];
    case "file:cancelled":
      return ["Cancelled", text(data["requested_by"]) && `by ${text(data["requested_by"])}`];
    case "file:deleted": {
      const chunks = number(data["chunks_deleted"]);
      return ["Deleted", chunks === undefined ? "" : `${quantity(chunks, "chunk")} deleted`];
    }
    default:
      return [words(shown(event).replace(/^(file|x):/, "")), ""];
  }
}

/** The entries, oldest first. */
export function foldTimeline(events: readonly NamedEvent[]): Entry[] {
  const entries: Entry[] = [];
  let run: { stage: string; parts: NamedEvent[] } | null = null;
  const push = (first: NamedEvent, last: NamedEvent, title: string, detail: string): void => {
    const before = entries.at(-1);
    const [from, to] = [timeOf(first), timeOf(last)];
    const key = `${text(first.data["epoch"])}/${String(first.data["seq"])}`;
    entries.push({ key, event: first.event, title, detail, from, to, after: before ? (from - before.to) / 1000 : null });
  };
  const close = (): void => {
    const [first, last] = [run?.parts[0], run?.parts.at(-1)];
    if (run && first && last) {
      const progress = number(last.data["progress"]);
      const [current, total, unit] = [number(last.data["current"]), number(last.data["total"]), text(last.data["unit"])];
      const amount = current !== undefined && `${count(current)}${total === undefined ? "" : ` of ${count(total)}`} ${unit}`.trim();
      const updates = run.parts.length > 1 && quantity(run.parts.length, "update");
      push(first, last, run.stage ? words(run.stage) : "Progress", join([progress !== undefined && percent(progress), amount, updates]));
    }
    run = null;
  };
  for (const event of events) {
    if (event.event === "file:progress") {
      const stage = text(event.data["processing_stage"]);
      if (run && run.stage !== stage) close();
      run ??= { stage, parts: [] };
      run.parts.push(event);
      continue;
    }
    close();
    push(event, event, ...describe(event));
  }
  close();
  return entries;
}
