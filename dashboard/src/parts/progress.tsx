// How far a pipeline is, and how long the rest may take.
import type { FileStatus, PipelineStatus } from "@ragpulse/client";
import { CountsBar } from "@ragpulse/react/components";
import type { ReactElement } from "react";
import { useActivity, useNow } from "../hooks.js";
import { count, percent, span } from "../lib/format.js";
import { progressOf } from "../lib/pipelines.js";
import { quantile } from "../lib/rates.js";

/** How many seconds the work on a file took; undefined where that is not known. */
const tookOf = ({ results, started_at: from, completed_at: to }: FileStatus): number | undefined =>
  results?.processing_duration ?? (from && to ? (Date.parse(to) - Date.parse(from)) / 1000 : undefined);

/** How long it takes at the rate of the last minute. */
function leftOf(open: number, total: number, perSecond: number): string {
  if (total === 0) return "no files yet";
  if (open === 0) return "nothing is waiting";
  return perSecond > 0 ? `about ${span(Math.max(1, Math.round(open / perSecond)))} left` : `${count(open)} open, none finished lately`;
}

export function Progress({ state }: { state: PipelineStatus }): ReactElement {
  const now = useNow();
  const { total, ended, open, part } = progressOf(state.counts);
  const perSecond = useActivity().of(state.pipeline_id).ended.perSecond(now, 60);
  const took = state.files.filter((file) => file.state === "completed").map(tookOf).filter((seconds) => seconds !== undefined);
  const median = quantile(took.sort((a, b) => a - b), 0.5);
  return (
    <section className="card progress" aria-label="Progress">
      <h2 className="figure-name">Finished</h2>
      <p className="figure-value"><b id="done">{count(ended)}</b> <small>of {count(total)}{total > 0 && ` · ${percent(part)}`}</small></p>
      <CountsBar counts={state.counts} />
      <p className="figure-notes"><span>{leftOf(open, total, perSecond)}</span>{median !== null && <span>median {span(median)} a file</span>}</p>
    </section>
  );
}
