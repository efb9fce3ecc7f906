// How far a file is: a bar of stages, the words for it, and when it will be done.
//
// What may come in: a file in any state, in a stage that nobody knows, with or without progress and estimates. What it
// never does: show an estimate that has run out, or a progress that nobody reported.
import type { FileStatus } from "@ragpulse/client";
import type { ComponentPropsWithoutRef, CSSProperties, ReactElement } from "react";

import { count, percent, shown, ticking, words } from "./format.js";
import { fill, type LabelOverrides, type Labels, useLabels } from "./labels.js";
import { useNow } from "./time.js";

/** The stages of the reference, in their order. */
export const STAGES: readonly string[] = ["extraction", "chunking", "embedding", "storing"];

/** What {@link StageProgress} takes, beside what a `div` takes. */
export interface StageProgressProps extends Omit<ComponentPropsWithoutRef<"div">, "children"> {
  /** The file. */
  readonly file: FileStatus;
  /** The stages in their order. Default: extraction, chunking, embedding, storing. */
  readonly stages?: readonly string[];
  /** Whether the names of the stages stand under the bar. Default: false. */
  readonly isDetailed?: boolean;
  /** Whether the time left is shown; it is always told to those who listen. Default: true. */
  readonly hasEta?: boolean;
  /** Other texts. */
  readonly labels?: LabelOverrides;
}

/** Seconds until a file is done, as far as that is estimated; null where it is not, or the estimate has run out. */
export function etaOf(file: FileStatus, now: number | null): number | null {
  if (file.eta_seconds !== undefined) return file.eta_seconds;
  if (file.estimated_duration === undefined || !file.started_at || now === null) return null;
  const left = file.estimated_duration - (now - Date.parse(file.started_at)) / 1_000;
  return left > 0 ? left : null;
}

/** What a stage is called. */
export const stageName = (stage: string | undefined, { stages, text }: Labels): string =>
  stage === undefined ? text.working : ((Object.hasOwn(stages, stage) && stages[stage]) || words(stage));

/** How far a file is. */
export function StageProgress({
  file, stages = STAGES, isDetailed, hasEta = true, labels: over, className, ...rest
}: StageProgressProps): ReactElement {
  const labels = useLabels(over);
  const { text, locale } = labels;
  const now = useNow(file.estimated_duration !== undefined && file.eta_seconds === undefined);
  const place = stages.indexOf(file.processing_stage ?? "");
  const names = place < 0 ? [file.processing_stage] : stages;
  const part = file.progress === undefined ? undefined : Math.min(1, Math.max(0, file.progress));
  const eta = etaOf(file, now);
  const details = [
    part !== undefined && percent(part, locale),
    file.current !== undefined && file.total !== undefined &&
      fill(text.unitsOf, count(file.current, locale), count(file.total, locale), shown(file.unit ?? "")).trim(),
  ].filter((one) => one !== false);
  const left = eta === null ? "" : fill(text.left, ticking(Math.max(1, eta), locale));
  const stage = stageName(file.processing_stage, labels);
  const valueText = [stage, ...details, left, place >= 0 && fill(text.stageOf, String(place + 1), String(stages.length))].filter(Boolean).join(", ");
  const whole = part === undefined ? undefined : place < 0 ? part : (place + part) / stages.length;
  return (
    <div {...rest} className={`rp-progress ${className ?? ""}`.trim()} data-detailed={isDetailed || undefined}>
      <div
        className="rp-stages"
        role="progressbar"
        aria-label={fill(text.progressOf, shown(file.name) || text.noName)}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={whole === undefined ? undefined : Math.floor(whole * 100)}
        aria-valuetext={valueText}
      >
        {names.map((name, index) => {
          const isRunning = place < 0 || index === place;
          const is = isRunning ? (part === undefined ? "unsure" : "running") : index < place ? "done" : "ahead";
          return <i key={name ?? ""} data-is={is} style={{ "--rp-part": isRunning ? (part ?? 0) : 0 } as CSSProperties} />;
        })}
      </div>
      {isDetailed && (
        <div className="rp-stage-names" aria-hidden="true">
          {names.map((name, index) => (
            <span key={name ?? ""} data-now={place < 0 || index === place || undefined}>{stageName(name, labels)}</span>
          ))}
        </div>
      )}
      <div className="rp-line" aria-hidden="true">
        {!isDetailed && <b>{stage}</b>} {[...details, hasEta && left].filter(Boolean).join(" · ")}
      </div>
    </div>
  );
}
