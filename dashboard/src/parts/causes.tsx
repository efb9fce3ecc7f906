// Why files failed: failures of one kind together, the most frequent first. Choosing one lists its files.
//
// What may come in: thousands of failures, of which a state lists those that ended last. What it never does: count some and
// say that they are all.
import type { FileStatus, PipelineStatus } from "@ragpulse/client";
import { useFiles } from "@ragpulse/react";
import { type ReactElement, useEffect, useMemo, useState } from "react";
import { show } from "../hooks.js";
import { type CauseGroup, groupCauses } from "../lib/causes.js";
import { count, quantity, timeOfDay } from "../lib/format.js";
import { nameOf, shown } from "../lib/text.js";

/** How many kinds are shown at first. */
const FEW = 3;

/** The failed files that the state lists, and once they are wanted those that only the index knows. */
function useFailed(state: PipelineStatus, isWanted: boolean): { files: readonly FileStatus[]; isLoading: boolean; error: unknown } {
  const { items, isLoading, error, hasMore, loadMore } = useFiles(isWanted ? state.pipeline_id : null, { state: "failed", limit: 1_000 });
  useEffect(() => {
    if (hasMore && !isLoading && error === null) loadMore();
  }, [hasMore, isLoading, error, loadMore]);
  const files = useMemo(() => {
    const byId = new Map(items.map((file) => [file.id, file]));
    for (const file of state.files) byId.set(file.id, file);
    return [...byId.values()];
  }, [items, state.files]);
  return { files, isLoading, error };
}

function Cause({ group, state }: { group: CauseGroup; state: PipelineStatus }): ReactElement {
  const { kind, query, amount, retryable, last, messages } = group;
  return (
    <button type="button" className="cause" onClick={() => show({ filter: "failed", query, file: null })}>
      <b>{count(amount)}<span className="visually-hidden"> failed:</span></b>
      <span className="cause-text"><span className="cause-kind">{kind}</span> {shown(last.error?.message ?? "")}</span>
      <span className="cause-where">
        {amount === 1 ? nameOf(last) : `last ${timeOfDay(last.completed_at ?? state.timestamp)}`}
        {messages > 1 && ` · ${quantity(messages, "message")}`}
        {retryable === amount && " · may be retried"}
      </span>
    </button>
  );
}

export function Causes({ state }: { state: PipelineStatus }): ReactElement | null {
  const [isOpen, setOpen] = useState(false);
  const [wantsAll, setWantsAll] = useState(false);
  const { files, isLoading, error } = useFailed(state, wantsAll);
  const groups = useMemo(() => groupCauses(files), [files]);
  const { failed } = state.counts;
  const listed = groups.reduce((sum, { amount }) => sum + amount, 0);
  const isPart = listed < failed;
  if (failed === 0 && groups.length === 0) return null;
  const rest = groups.length - FEW;
  return (
    <section className="block causes" id="causes" aria-labelledby="causes-title">
      <h2 className="overline" id="causes-title">
        Why files failed{isPart && <span> {count(listed)} of {count(failed)}, those that ended last</span>}
      </h2>
      <ul id="causes-list">
        {(isOpen ? groups : groups.slice(0, FEW)).map((group) => <li key={group.kind}><Cause group={group} state={state} /></li>)}
      </ul>
      <div className="causes-more">
        {rest > 0 && (
          <button type="button" className="text-button" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
            {isOpen ? "Fewer kinds" : `${count(rest)} more ${rest === 1 ? "kind" : "kinds"}`}
          </button>
        )}
        {isPart && !wantsAll && (
          <button type="button" className="text-button" onClick={() => setWantsAll(true)}>Count all {count(failed)}</button>
        )}
        {wantsAll && isLoading && <span className="soft">Asking the hub…</span>}
        {wantsAll && error !== null && <span className="soft">The hub did not give the others.</span>}
      </div>
    </section>
  );
}
