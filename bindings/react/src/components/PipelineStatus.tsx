// A pipeline at a glance: whether it is heard, what it does next, and how many of its files stand where.
//
// What may come in: a pipeline that is not known (yet). What it never does: draw its counts anew because time passes.
import type { Counts, FileState, Liveness, PipelineStatus as State } from "@ragpulse/client";
import { type ComponentPropsWithoutRef, type CSSProperties, memo, type ReactElement, useId } from "react";

import { usePipelineStatus } from "../hooks.js";
import { count, percent, shown, span, ticking, words } from "./format.js";
import { Icon } from "./icons.js";
import { fill, type LabelOverrides, type Labels, useLabels } from "./labels.js";
import { pastText, useNow } from "./time.js";

/** The states in the order in which a bar shows them. */
const IN_BAR: readonly FileState[] = ["completed", "skipped", "cancelled", "failed", "processing", "queued"];

/** How many files there are, how many of them ended, and what part that is. */
export function doneOf(counts: Counts): { readonly total: number; readonly ended: number; readonly part: number } {
  const total = IN_BAR.reduce((sum, state) => sum + counts[state], 0);
  const ended = total - counts.queued - counts.processing;
  return { total, ended, part: total ? ended / total : 0 };
}

/** What {@link CountsBar} takes, beside what a `div` takes. */
export interface CountsBarProps extends Omit<ComponentPropsWithoutRef<"div">, "children"> {
  /** How many files stand where. */
  readonly counts: Counts;
  /** Other texts. */
  readonly labels?: LabelOverrides;
}

/** A stacked bar of how many files stand where. */
export function CountsBar({ counts, labels: over, className, ...rest }: CountsBarProps): ReactElement {
  const { states, text, locale } = useLabels(over);
  const some = IN_BAR.filter((state) => counts[state] > 0);
  const said = some.map((state) => `${count(counts[state], locale)} ${states[state].toLowerCase()}`).join(", ");
  return (
    <div role="img" aria-label={said || text.noFilesYet} {...rest} className={`rp-bar ${className ?? ""}`.trim()}>
      {some.map((state) => <i key={state} data-state={state} style={{ flexGrow: counts[state] } as CSSProperties} />)}
    </div>
  );
}

/** Whether a pipeline's reporters are heard, and since when not. */
export function LivenessBadge({ state, labels: over }: { readonly state: State; readonly labels?: LabelOverrides }): ReactElement {
  const labels = useLabels(over);
  const { liveness, last_activity } = state;
  const isHeard = liveness === "live";
  const now = useNow(!isHeard);
  const name = labels.liveness[liveness as Liveness] ?? words(liveness);
  return (
    <span className="rp-live" data-live={liveness}>
      <span className="rp-dot" aria-hidden="true" />
      {isHeard ? name : fill(labels.text.lastEvent, name, pastText(last_activity, now, labels))}
    </span>
  );
}

function factsOf(state: State, now: number | null, labels: Labels): string[] {
  const { text, locale } = labels;
  const { shutdown_at, offline_reason, started_at, next_check_time, check_interval } = state;
  const past = (time: string): string => pastText(time, now, labels);
  if (state.liveness === "offline" || state.liveness === "lost") {
    if (!shutdown_at) return [];
    return [offline_reason ? fill(text.stoppedWhy, past(shutdown_at), words(offline_reason).toLowerCase()) : fill(text.stopped, past(shutdown_at))];
  }
  const facts = started_at ? [fill(text.started, past(started_at))] : [];
  const left = next_check_time && now !== null ? (Date.parse(next_check_time) - now) / 1_000 : 0;
  if (state.is_checking) facts.push(text.checking);
  else if (next_check_time && now === null) facts.push(fill(text.nextCheckAt, past(next_check_time)));
  else if (left > 0) facts.push(fill(text.nextCheck, ticking(left, locale)));
  else if (check_interval) facts.push(fill(text.checksEvery, span(check_interval, locale)));
  return facts;
}

function Facts({ state, labels }: { readonly state: State; readonly labels: Labels }): ReactElement {
  const now = useNow();
  return (
    <ul className="rp-facts">
      <li>{words(state.pipeline_type)}</li>
      {state.watch_location && <li><code>{shown(state.watch_location)}</code></li>}
      {factsOf(state, now, labels).map((fact, index) => <li key={index}>{fact}</li>)}
    </ul>
  );
}

interface CountListProps {
  readonly counts: Counts;
  readonly labels: Labels;
  readonly hasCounts: boolean;
}

const CountList = memo(function CountList({ counts, labels, hasCounts }: CountListProps): ReactElement {
  const { states, text, locale } = labels;
  const { total, ended, part } = doneOf(counts);
  return (
    <>
      <p className="rp-finished">
        <span className="rp-name">{text.finished}</span>
        <b>{count(ended, locale)}</b> <small>{fill(text.finishedOf, count(total, locale), percent(part, locale))}</small>
      </p>
      <CountsBar counts={counts} aria-hidden={hasCounts} />
      {hasCounts && <ul className="rp-counts" aria-label={text.counts}>
        {(["processing", "queued", "completed", "failed", "skipped", "cancelled"] as const).map((state) => (
          <li key={state} data-state={state} data-none={counts[state] === 0 || undefined}>
            <Icon of={state} /> {states[state]} <b>{count(counts[state], locale)}</b>
          </li>
        ))}
      </ul>}
    </>
  );
}, (a, b) => a.labels === b.labels && a.hasCounts === b.hasCounts && IN_BAR.every((state) => a.counts[state] === b.counts[state]));

/** What {@link PipelineStatus} takes, beside what a `section` takes; children stand below the counts. */
export interface PipelineStatusProps extends ComponentPropsWithoutRef<"section"> {
  /** The pipeline's id. */
  readonly pipeline: string;
  /** The level of its heading. Default: 2. */
  readonly headingLevel?: 1 | 2 | 3 | 4 | 5 | 6;
  /** Whether the numbers by state stand below the bar; a list of files with filters says them too. Default: true. */
  readonly hasCounts?: boolean;
  /** Other texts. */
  readonly labels?: LabelOverrides;
}

/** A pipeline at a glance. */
export function PipelineStatus({
  pipeline, headingLevel = 2, hasCounts = true, labels: over, className, children, ...rest
}: PipelineStatusProps): ReactElement {
  const labels = useLabels(over);
  const state = usePipelineStatus(pipeline);
  const heading = useId();
  const Heading = `h${headingLevel}` as const;
  const ownWord = state && state.status !== "online" && state.status !== "offline" ? shown(state.status) : "";
  return (
    <section aria-labelledby={heading} {...rest} className={`rp-pipeline ${className ?? ""}`.trim()}>
      <header className="rp-head">
        <div className="rp-title">
          <Heading id={heading}>{state ? shown(pipeline) : fill(labels.text.waitingFor, shown(pipeline))}</Heading>
          {state && <LivenessBadge state={state} {...(over && { labels: over })} />}
          {ownWord && <span className="rp-word">{ownWord}</span>}
        </div>
        {state ? <Facts state={state} labels={labels} /> : <p className="rp-facts">{labels.text.stateOnItsWay}</p>}
      </header>
      {state && <CountList counts={state.counts} labels={labels} hasCounts={hasCounts} />}
      {children}
    </section>
  );
}
