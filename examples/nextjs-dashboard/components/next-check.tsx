"use client";
// When a pipeline will look at its source again.
import type { PipelineStatus } from "@ragpulse/client";
import { useNow } from "@ragpulse/react/components";
import type { ReactNode } from "react";

import { ago, clock } from "./format";

/** A countdown. It says nothing for a pipeline that is not there to look. */
export function NextCheck({ pipeline }: { readonly pipeline: PipelineStatus }) {
  // The hub's time; null on the server and while the page is hydrated, where two clocks would disagree.
  const now = useNow();
  const { liveness, is_checking, last_check_time, next_check_time, check_interval } = pipeline;
  if (liveness === "offline" || liveness === "lost") return null;
  if (is_checking) return <Facts value="Checking now" />;
  if (!next_check_time) return check_interval ? <Facts value={`every ${check_interval} s`} /> : null;
  if (now === null) return <Facts value="…" />;
  const left = Date.parse(next_check_time) - now;
  const passed = last_check_time ? now - Date.parse(last_check_time) : -1;
  return (
    <Facts value={left > 0 ? `in ${clock(left)}` : "due"} more={passed >= 0 ? `last ${ago(passed)}` : undefined}>
      {left > 0 && check_interval ? (
        <span className="meter" aria-hidden="true">
          <span style={{ width: `${Math.min(100, left / check_interval / 10)}%` }} />
        </span>
      ) : null}
    </Facts>
  );
}

interface FactsProps {
  readonly value: string;
  readonly more?: string | undefined;
  readonly children?: ReactNode;
}

function Facts({ value, more, children }: FactsProps) {
  return (
    <div className="next-check">
      <span className="label">Next check</span>
      <strong>{value}</strong>
      {more ? <span className="faint">{more}</span> : null}
      {children}
    </div>
  );
}
