// What pipeline it is, whether it is heard, and what it says of itself.
import type { PipelineStatus } from "@ragpulse/client";
import { LivenessBadge } from "@ragpulse/react/components";
import type { ReactElement } from "react";
import { useNow } from "../hooks.js";
import { ago, clockSpan, span, words } from "../lib/format.js";
import { shown } from "../lib/text.js";

function factsOf(state: PipelineStatus, now: number): string[] {
  if (state.liveness === "offline" || state.liveness === "lost") {
    if (!state.shutdown_at) return [];
    const why = state.offline_reason ? ` (${words(shown(state.offline_reason)).toLowerCase()})` : "";
    return [`stopped ${ago(Date.parse(state.shutdown_at), now)}${why}`];
  }
  const facts = state.started_at ? [`started ${ago(Date.parse(state.started_at), now)}`] : [];
  const next = state.next_check_time ? (Date.parse(state.next_check_time) - now) / 1000 : 0;
  if (state.is_checking) facts.push("checking its source now");
  else if (next > 0) facts.push(`next check in ${clockSpan(next)}`);
  else if (state.check_interval) facts.push(`checks every ${span(state.check_interval)}`);
  return facts;
}

export function Head({ state }: { state: PipelineStatus }): ReactElement {
  const now = useNow();
  const isPlain = state.status === "online" || state.status === "offline";
  return (
    <header className="head">
      <div className="head-title">
        <h1 id="name">{state.pipeline_id}</h1>
        <LivenessBadge state={state} />
        {!isPlain && <span className="word">{shown(state.status)}</span>}
      </div>
      <p className="facts">
        <span>{words(state.pipeline_type)}</span>
        {state.watch_location && <code>{shown(state.watch_location)}</code>}
        {factsOf(state, now).map((fact) => <span key={fact}>{fact}</span>)}
      </p>
    </header>
  );
}
