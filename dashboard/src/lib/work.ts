// What is to be said of one file: its work in a few words, and the time beside it.
//
// What may come in: a file as any reporter left it, and the hub's time. What it never does: show foreign text unshown.
import type { FileStatus } from "@ragpulse/client";
import { clockSpan, count, percent, quantity, span, timeOfDay, words } from "./format.js";
import { kindOf, shown } from "./text.js";

/** What stands out, and the rest; either may be empty. */
export interface Work {
  readonly main: string;
  readonly rest: string;
}

const join = (parts: readonly (string | false | undefined)[]): string => parts.filter(Boolean).join(" · ");

const attemptOf = ({ attempt, max_attempts: most }: FileStatus): string =>
  attempt > 1 ? `attempt ${count(attempt)}${most ? ` of ${count(most)}` : ""}` : "";

/** How long the work on it runs, in seconds. */
const running = (file: FileStatus, now: number): number => (file.started_at ? Math.max(0, (now - Date.parse(file.started_at)) / 1000) : 0);

/** Seconds until it is done: as its reporter says, else as was estimated when it began; undefined where nobody knows. */
export function etaOf(file: FileStatus, now: number): number | undefined {
  if (file.eta_seconds !== undefined) return file.eta_seconds;
  const guess = file.estimated_duration === undefined ? undefined : file.estimated_duration - running(file, now);
  return guess !== undefined && guess > 0 ? guess : undefined;
}

/** What is to be said of its work. */
export function workOf(file: FileStatus, now: number): Work {
  const again = attemptOf(file);
  switch (file.state) {
    case "processing": {
      const { current, total, unit = "" } = file;
      const amount = current !== undefined && `${count(current)}${total === undefined ? "" : ` of ${count(total)}`} ${shown(unit)}`.trim();
      return {
        main: file.processing_stage ? words(shown(file.processing_stage)) : "Working",
        rest: join([file.progress !== undefined && percent(file.progress), amount, again]),
      };
    }
    case "queued": {
      const after = file.error ? ` after ${kindOf(file.error)}: ${shown(file.error.message)}` : "";
      if (file.retry_at) {
        const wait = (Date.parse(file.retry_at) - now) / 1000;
        return { main: wait > 0 ? `Retry in ${clockSpan(wait)}` : "Retry due", rest: `${again}${after}`.trim() };
      }
      if (file.error) return { main: "Waiting again", rest: `${again}${after}`.trim() };
      const place = file.queue_position !== undefined && `${count(file.queue_position)} before it`;
      return { main: "", rest: join([file.change && file.change !== "created" && words(file.change), place, again]) };
    }
    case "completed": {
      const chunks = file.results?.chunks_created;
      const warned = file.warnings?.length;
      return { main: "", rest: join([chunks !== undefined && quantity(chunks, "chunk"), !!warned && quantity(warned, "warning"), again]) };
    }
    case "failed":
      return { main: file.error ? kindOf(file.error) : "Failed", rest: shown(file.error?.message ?? "") };
    case "skipped":
      return {
        main: words(shown(file.reason ?? "skipped")),
        rest: shown(file.message ?? (file.duplicate_of ? `same as ${file.duplicate_of}` : "")),
      };
    default:
      return { main: "", rest: file.requested_by ? `by ${shown(file.requested_by)}` : "" };
  }
}

/** How long it took or takes, and a note to that. */
export function timesOf(file: FileStatus, now: number): { main: string; note: string } {
  if (file.state === "processing") {
    const eta = etaOf(file, now);
    const soFar = clockSpan(running(file, now));
    return eta === undefined ? { main: soFar, note: "so far" } : { main: `${clockSpan(Math.max(1, eta))} left`, note: `${soFar} so far` };
  }
  if (file.state === "queued") {
    return file.queued_at ? { main: clockSpan((now - Date.parse(file.queued_at)) / 1000), note: "waiting" } : { main: "", note: "" };
  }
  const took = tookOf(file);
  const ended = file.completed_at ? timeOfDay(file.completed_at) : "";
  return took === undefined ? { main: ended, note: "" } : { main: span(took), note: ended };
}

/** How many seconds the work on it took; undefined where that is not known. */
export function tookOf({ results, started_at: from, completed_at: to }: FileStatus): number | undefined {
  return results?.processing_duration ?? (from && to ? (Date.parse(to) - Date.parse(from)) / 1000 : undefined);
}
