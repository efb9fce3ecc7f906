// By what updates come, how old they are, and why it is not better; in words, with a button to try again.
//
// What may come in: any state with any cause. What it never does: speak to those who listen of what does not matter: that
// it connects for the first time, or that the data are a second older.
import type { ConnectionState } from "@ragpulse/client";
import { type ComponentPropsWithoutRef, type ReactElement, useEffect, useId, useRef, useState } from "react";

import { useConnection } from "../hooks.js";
import { count, ticking } from "./format.js";
import { explain, fill, type LabelOverrides, useLabels } from "./labels.js";

/** What {@link ConnectionIndicator} takes, beside what a `div` takes. */
export interface ConnectionIndicatorProps extends Omit<ComponentPropsWithoutRef<"div">, "children"> {
  /** `pill`: a button that opens the words; `full`: the words stand below it. Default: `pill`. */
  readonly variant?: "pill" | "full";
  /** Other texts. */
  readonly labels?: LabelOverrides;
}

/** What to say to those who listen: where it settles, if that is elsewhere than before. */
function useAnnouncement(state: ConnectionState): ConnectionState | null {
  const [said, say] = useState<{ readonly settled: ConnectionState; readonly isNews: boolean } | null>(null);
  if (state !== "connecting" && state !== said?.settled) {
    say({ settled: state, isNews: said !== null || state === "waiting" || state === "closed" });
  }
  return said?.isNews ? said.settled : null;
}

/** How the connection to the hub fares. */
export function ConnectionIndicator({ variant = "pill", labels: over, className, onKeyDown, ...rest }: ConnectionIndicatorProps): ReactElement {
  const labels = useLabels(over);
  const { text, locale } = labels;
  const { state, cause, latencyMs, dataAgeMs, retry } = useConnection();
  const [isOpen, setOpen] = useState(false);
  const panel = useId();
  const root = useRef<HTMLDivElement>(null);
  const news = useAnnouncement(state);
  useEffect(() => {
    if (!isOpen) return;
    const leave = ({ target }: Event): void => {
      if (!root.current?.contains(target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", leave);
    return () => document.removeEventListener("pointerdown", leave);
  }, [isOpen]);
  const latency = latencyMs === null ? "" : fill(text.latency, count(Math.max(1, Math.round(latencyMs)), locale));
  const age = dataAgeMs === null ? "" : dataAgeMs < 2_000 ? text.dataNow : fill(text.dataAge, ticking(dataAgeMs / 1_000, locale));
  const canRetry = state === "waiting" || (state === "closed" && cause?.kind === "rejected") || (state === "polling" && cause?.kind !== "chosen");
  const face = (
    <>
      <span className="rp-dot" aria-hidden="true" />
      <span className="rp-connection-name">{labels.connection[state]}</span>
      {latency && <span className="rp-part">{latency}</span>}
      {age && <span className="rp-part" data-age="">{age}</span>}
    </>
  );
  const words = explain(labels, state, cause);
  const details = (
    <>
      {words && <p className="rp-cause">{words}</p>}
      {canRetry && <button type="button" className="rp-button" onClick={retry}>{text.retry}</button>}
    </>
  );
  return (
    <div
      role="group"
      aria-label={text.connection}
      {...rest}
      onKeyDown={(event) => {
        if (event.key === "Escape") setOpen(false);
        onKeyDown?.(event);
      }}
      ref={root}
      className={`rp-connection ${className ?? ""}`.trim()}
      data-connection={state}
      data-variant={variant}
    >
      {variant === "full" ? (
        <>
          <div className="rp-pill">{face}</div>
          {details}
        </>
      ) : (
        <>
          <button type="button" className="rp-pill" aria-expanded={isOpen} aria-controls={panel} onClick={() => setOpen(!isOpen)}>
            {face}
          </button>
          <div id={panel} className="rp-panel" hidden={!isOpen}>
            {details}
            <dl>
              {latency && <><dt>{text.roundTrip}</dt><dd>{latency}</dd></>}
              {age && <><dt>{text.dataAgeName}</dt><dd>{age}</dd></>}
            </dl>
          </div>
        </>
      )}
      <span role="status" className="rp-visually-hidden">
        {news && `${fill(text.announce, labels.connection[news])} ${news === state ? words : ""}`.trim()}
      </span>
    </div>
  );
}
