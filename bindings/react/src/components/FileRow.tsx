// One file in four cells: where it stands, what it is, what is being done to it, and how long that takes.
//
// What may come in: a file in any state, with or without everything that is optional. What it never does: draw anew
// while its file is the same object, but for the seconds it counts.
import type { FileStatus } from "@ragpulse/client";
import { memo, type ReactElement } from "react";

import { count, shown, span, ticking, timeOfDay, words } from "./format.js";
import { Icon } from "./icons.js";
import { fill, type Labels, useLabels } from "./labels.js";
import { etaOf, StageProgress } from "./StageProgress.js";
import { useIsLocal, useNow } from "./time.js";

/** Where a file lies, without its name, which stands above it. */
export function placeOf({ name, path }: FileStatus): string {
  if (!path || path === name) return "";
  return path.endsWith(`/${name}`) ? path.slice(0, -name.length - 1) : path;
}

/** What a failure is called: its type, and the stage that it happened in. */
export function failureName({ type, stage }: { readonly type: string; readonly stage?: string }, { text }: Labels): string {
  return stage ? fill(text.inStage, shown(type), shown(stage)) : shown(type);
}

/** What is to be said of a file that is not being processed: a word that stands out, and the rest. */
function wordsFor(file: FileStatus, now: number | null, labels: Labels): readonly [strong: string, rest: string] {
  const { text, locale } = labels;
  const { error, results, attempt, max_attempts } = file;
  const attempts = max_attempts ? fill(text.attemptOf, count(attempt, locale), count(max_attempts, locale)) : fill(text.attempt, count(attempt, locale));
  const again = attempt > 1 ? attempts : "";
  const join = (...parts: readonly string[]): string => parts.filter(Boolean).join(" · ");
  switch (file.state) {
    case "queued": {
      if (error) {
        const wait = file.retry_at && now !== null ? (Date.parse(file.retry_at) - now) / 1_000 : null;
        const strong = !file.retry_at || wait === null ? text.waitingAgain : wait > 0 ? fill(text.retryIn, ticking(wait, locale)) : text.retryDue;
        return [strong, join(again, fill(text.after, `${failureName(error, labels)}: ${shown(error.message)}`))];
      }
      const before = file.queue_position === undefined ? "" : fill(text.before, count(file.queue_position, locale));
      return ["", join(file.change && file.change !== "created" ? words(file.change) : "", before, again)];
    }
    case "completed": {
      const chunks = results?.chunks_created;
      const warnings = file.warnings?.length ?? 0;
      return ["", join(
        chunks === undefined ? "" : chunks === 1 ? text.oneChunk : fill(text.chunks, count(chunks, locale)),
        warnings === 0 ? "" : warnings === 1 ? text.oneWarning : fill(text.warnings, count(warnings, locale)),
        again,
      )];
    }
    case "failed":
      return [error ? failureName(error, labels) : labels.states.failed, error ? shown(error.message) : ""];
    case "skipped":
      return [words(file.reason ?? "skipped"), shown(file.message ?? (file.duplicate_of ? fill(text.sameAs, file.duplicate_of) : ""))];
    case "cancelled":
      return ["", file.requested_by ? fill(text.by, shown(file.requested_by)) : ""];
    default:
      return ["", ""];
  }
}

function Words({ file, labels }: { readonly file: FileStatus; readonly labels: Labels }): ReactElement {
  const now = useNow(file.state === "queued" && file.retry_at !== undefined);
  const [strong, rest] = wordsFor(file, now, labels);
  return <div className="rp-line">{strong && <b>{strong}</b>} {rest}</div>;
}

function Times({ file, labels }: { readonly file: FileStatus; readonly labels: Labels }): ReactElement {
  const { text, locale } = labels;
  const isOpen = file.state === "queued" || file.state === "processing";
  const now = useNow(isOpen);
  const isLocal = useIsLocal();
  const since = (time: string | undefined): number | null => (time && now !== null ? (now - Date.parse(time)) / 1_000 : null);
  let [strong, rest] = ["", ""];
  if (file.state === "processing") {
    const running = since(file.started_at);
    const eta = etaOf(file, now);
    const soFar = running === null ? "" : ticking(running, locale);
    [strong, rest] = eta === null ? [soFar, soFar && text.soFar] : [fill(text.left, ticking(Math.max(1, eta), locale)), soFar && `${soFar} ${text.soFar}`];
  } else if (file.state === "queued") {
    const waited = since(file.queued_at);
    if (waited !== null) [strong, rest] = [ticking(waited, locale), text.waiting];
  } else {
    const measured = file.started_at && file.completed_at ? (Date.parse(file.completed_at) - Date.parse(file.started_at)) / 1_000 : undefined;
    const took = file.results?.processing_duration ?? measured;
    const ended = file.completed_at ? timeOfDay(file.completed_at, locale, isLocal) : "";
    [strong, rest] = took === undefined ? [ended, ""] : [span(took, locale), ended];
  }
  return <><b>{strong}</b> <span>{rest}</span></>;
}

/** Where a file stands, as a picture and a word. */
export function StateBadge({ state, labels }: { readonly state: FileStatus["state"]; readonly labels: Labels }): ReactElement {
  return <span className="rp-badge" data-state={state}><Icon of={state} /> {labels.states[state] ?? words(state)}</span>;
}

/** What {@link FileRow} takes. */
export interface FileRowProps {
  /** The file. */
  readonly file: FileStatus;
  /** The role of its four cells, where it stands in a grid or table. */
  readonly cellRole?: "gridcell" | "cell";
  /** Is called with each drawing, for measurements. */
  readonly onRender?: (file: FileStatus) => void;
}

/** One file as four cells in a row of the caller's, which lays them out; `rp-row` does. */
export const FileRow = memo(function FileRow({ file, cellRole, onRender }: FileRowProps): ReactElement {
  const labels = useLabels();
  onRender?.(file);
  const place = placeOf(file);
  return (
    <>
      <div role={cellRole} className="rp-cell-state"><StateBadge state={file.state} labels={labels} /></div>
      <div role={cellRole} className="rp-cell-name">
        <span className="rp-file-name"><bdi>{shown(file.name) || labels.text.noName}</bdi></span>
        {place && <span className="rp-file-path"><bdi>{shown(place)}</bdi></span>}
      </div>
      <div role={cellRole} className="rp-cell-work" data-state={file.state}>
        {file.state === "processing" ? <StageProgress file={file} hasEta={false} /> : <Words file={file} labels={labels} />}
      </div>
      <div role={cellRole} className="rp-cell-time"><Times file={file} labels={labels} /></div>
    </>
  );
});
