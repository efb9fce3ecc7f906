// How fast a pipeline goes and how fast its events come here, over the last minutes.
import { memo, type ReactElement } from "react";
import { useActivity, useNow } from "../hooks.js";
import { count, millis, rate } from "../lib/format.js";
import { lastStep } from "../lib/rates.js";
import { Plot } from "./plot.js";

/** Five minutes in steps of five seconds. */
const STEPS = 60;
const STEP = 5;

export const Plots = memo(function Plots({ pipeline }: { pipeline: string }): ReactElement {
  const now = useNow();
  const { ended, failed, events, latency, since, endsSince } = useActivity().of(pipeline);
  const end = lastStep(now, STEP);
  const perMinute = (steps: readonly number[]): number[] => steps.map((amount) => (amount * 60) / STEP);
  const all = ended.series(now, STEPS, STEP);
  const bad = failed.series(now, STEPS, STEP);
  const good = perMinute(all.map((amount, index) => Math.max(0, amount - (bad[index] ?? 0))));
  const files = ended.perSecond(now, 60) * 60;
  // Of a time before this page nothing is known, which is not the same as none.
  const isKnown = (step: number): boolean => end - (STEPS - step - 1) * STEP * 1_000 > since;
  const perSecond = events.series(now, STEPS, STEP).map((amount, step) => (isKnown(step) ? amount / STEP : null));
  const most = Math.max(...perSecond.map((one) => one ?? 0));
  const median = latency.quantile(now, 60, 0.5);
  const slow = latency.quantile(now, 60, 0.95);
  const format = (value: number): string => rate(value);
  const failures = bad.reduce((sum, amount) => sum + amount, 0);
  return (
    <div className="plots" role="group" aria-label="The last five minutes">
      <Plot title="Throughput" value={rate(files)} unit="files/min" note={failures ? `${count(failures)} failed` : ""}
        end={end} step={STEP} format={format} since={endsSince}
        series={[
          { name: "ended well/min", kind: "bar", tone: "accent", values: good },
          { name: "failed/min", kind: "bar", tone: "failed", values: perMinute(bad) },
        ]}
        summary={`Files that came to an end, in the last five minutes: ${rate(files)} a minute now, at most ${rate(Math.max(...perMinute(all)))}; ${count(failures)} failed.`} />
      <Plot title="Events" value={rate(events.sum(now, 10) / 10)} unit="/s" note=""
        end={end} step={STEP} format={format} since={since}
        series={[{ name: "/s", kind: "area", tone: "accent", values: perSecond }]}
        summary={`Events a second, in the last five minutes: ${rate(events.sum(now, 10) / 10)} now, at most ${rate(most)}.`} />
      <Plot title="Hub to page" value={median === null ? "–" : millis(median)} unit={median === null ? "no events yet" : "median"}
        note={slow === null ? "" : `95 % in ${millis(slow)}`}
        end={end} step={STEP} format={millis} since={since}
        series={[
          { name: "95 %", kind: "area", tone: "soft", values: latency.series(now, STEPS, STEP, 0.95) },
          { name: "median", kind: "line", tone: "accent", values: latency.series(now, STEPS, STEP, 0.5) },
        ]}
        summary={median === null || slow === null
          ? "How long events take from the hub to this page: nothing was measured in the last minute."
          : `How long events took from the hub to this page in the last minute: median ${millis(median)}, 95 % within ${millis(slow)}.`} />
    </div>
  );
});
