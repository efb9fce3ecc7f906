"use client";
// One pipeline: whether it lives, what it watches, how far it is, and its files.
import type { Counts, PipelineId } from "@ragpulse/client";
import { usePipelineStatus } from "@ragpulse/react";
import { CountsBar, LivenessBadge } from "@ragpulse/react/components";
import { useId } from "react";

import { AllFiles } from "./all-files";
import { FileLists } from "./file-lists";
import { count, words } from "./format";
import { NextCheck } from "./next-check";

/** The states a file may be in, ends first. */
const STATES: readonly (keyof Counts)[] = ["completed", "skipped", "cancelled", "failed", "processing", "queued"];

function Overall({ counts }: { readonly counts: Counts }) {
  const all = STATES.reduce((sum, state) => sum + counts[state], 0);
  const ended = all - counts.queued - counts.processing;
  return (
    <div className="overall">
      <p>
        <strong>{count(ended)}</strong> of {count(all)} files{" "}
        {all > 0 && <span className="faint">· {Math.floor((ended / all) * 100)} %</span>}
      </p>
      <CountsBar counts={counts} aria-hidden="true" />
      <ul className="legend">
        {STATES.map((state) => counts[state] > 0 && (
          <li key={state} data-state={state}>
            {words(state)} <strong>{count(counts[state])}</strong>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** A card. It draws anew only when its own pipeline changes. */
export function PipelineCard({ id }: { readonly id: PipelineId }) {
  const heading = useId();
  const pipeline = usePipelineStatus(id);
  if (!pipeline) {
    return (
      <article className="card" aria-labelledby={heading}>
        <h2 id={heading}>{id}</h2>
        <p className="none">It has not reported yet. It appears here with its first event.</p>
      </article>
    );
  }
  const { pipeline_type, watch_location, status, offline_reason } = pipeline;
  const isWord = !["online", "offline"].includes(status);
  return (
    <article className="card" aria-labelledby={heading} data-pipeline={id} data-seq={pipeline.seq}>
      <header>
        <div className="who">
          <h2 id={heading}>{id}</h2>
          <LivenessBadge state={pipeline} />
          {isWord ? <span className="tag">{words(status)}</span> : null}
          <p className="faint">
            {words(pipeline_type)}
            {watch_location ? <code>{watch_location}</code> : null}
            {offline_reason ? <span>Stopped: {words(offline_reason).toLowerCase()}</span> : null}
          </p>
        </div>
        <NextCheck pipeline={pipeline} />
      </header>
      <Overall counts={pipeline.counts} />
      <FileLists pipeline={pipeline} />
      <AllFiles id={id} />
    </article>
  );
}
