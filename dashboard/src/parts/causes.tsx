// Why files failed: failures of one kind together, the most frequent first. Choosing one lists its files.
import type { PipelineStatus } from "@ragpulse/client";
import { type ReactElement, useMemo, useState } from "react";
import { show } from "../hooks.js";
import { groupCauses } from "../lib/causes.js";
import { count, timeOfDay } from "../lib/format.js";
import { nameOf, shown } from "../lib/text.js";

/** How many kinds are shown at first. */
const FEW = 3;

export function Causes({ state }: { state: PipelineStatus }): ReactElement | null {
  const groups = useMemo(() => groupCauses(state.files), [state.files]);
  const [isOpen, setOpen] = useState(false);
  if (groups.length === 0) return null;
  const listed = groups.reduce((sum, { amount }) => sum + amount, 0);
  const rest = groups.length - FEW;
  return (
    <section className="block causes" id="causes" aria-labelledby="causes-title">
      <h2 className="overline" id="causes-title">
        Why files failed{listed < state.counts.failed && <span> among the last {count(state.limits.ended)} that ended</span>}
      </h2>
      <ul id="causes-list">
        {(isOpen ? groups : groups.slice(0, FEW)).map(({ kind, query, amount, retryable, last, messages }) => (
          <li key={kind}>
            <button type="button" className="cause" onClick={() => show({ filter: "failed", query, file: null })}>
              <b><span className="visually-hidden">Failed: </span>{count(amount)}</b>
              <span className="cause-text"><span className="cause-kind">{kind}</span> {shown(last.error?.message ?? "")}</span>
              <span className="cause-where">
                {amount === 1 ? nameOf(last) : `last ${timeOfDay(last.completed_at ?? state.timestamp)}`}
                {messages > 1 && ` · ${count(messages)} messages`}
                {retryable === amount && " · may be retried"}
              </span>
            </button>
          </li>
        ))}
      </ul>
      {rest > 0 && (
        <button type="button" className="text-button" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
          {isOpen ? "Fewer" : `${count(rest)} more kinds`}
        </button>
      )}
    </section>
  );
}
