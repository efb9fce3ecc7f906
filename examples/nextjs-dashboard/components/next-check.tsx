"use client";
// When a pipeline will look at its source again.
import type { PipelineStatus } from "@ragpulse/client";

import { ago, clock } from "./format";
import { useNow } from "./use-now";

/** A countdown. It says nothing for a pipeline that is not there to look. */
export function NextCheck({ pipeline }: { readonly pipeline: PipelineStatus }) {
  const now = useNow();
  const { liveness, is_checking, last_check_time, next_check_time, check_interval } = pipeline;
  if (liveness === "offline" || liveness === "lost") return null;
  const left = now !== null && next_check_time ? Date.parse(next_check_time) - now : null;
  const passed = now !== null && last_check_time ? now - Date.parse(last_check_time) : null;
  const isCounting = !is_checking && left !== null && left > 0;
  if (!is_checking && !next_check_time && !check_interval) return null;
  return (
    <div className="next-check">
      <span className="label">Next check</span>
      <strong>{is_checking ? "Checking now" : isCounting ? `in ${clock(left)}` : next_check_time ? (now === null ? "…" : "due") : `every ${check_interval} s`}</strong>
      {isCounting && check_interval ? (
        <span className="meter" aria-hidden="true">
          <span style={{ width: `${Math.min(100, (left / check_interval / 10))}%` }} />
        </span>
      ) : null}
      {passed !== null && passed >= 0 && !is_checking ? <span className="faint">last {ago(passed)}</span> : null}
    </div>
  );
}
