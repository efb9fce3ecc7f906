// A small plot of the last minutes: bars for counts, lines for measured values. Its numbers are also there as text.
//
// What may come in: steps from old to new, as many of each series. What it never does: depend on colour alone, or move by
// itself but with new data.
import { type PointerEvent, type ReactElement, useId, useState } from "react";
import { timeOfDay } from "../lib/format.js";

/** One series of a plot. */
export interface Series {
  /** What it is, as in "failed". */
  readonly name: string;
  /** How it is drawn. Bars stack on those before them. */
  readonly kind: "bar" | "line" | "area";
  /** Which colour of the style sheet. */
  readonly tone: "accent" | "failed" | "soft";
  /** A value a step; null where there is none. */
  readonly values: readonly (number | null)[];
}

export interface PlotProps {
  /** What is measured. */
  readonly title: string;
  /** The value to read at a glance, and its unit. */
  readonly value: string;
  readonly unit: string;
  /** More to that; may be empty. */
  readonly note: string;
  readonly series: readonly Series[];
  /** How a value is written. */
  readonly format: (value: number) => string;
  /** Where the last step ends, in milliseconds since 1970, and how many seconds a step is. */
  readonly end: number;
  readonly step: number;
  /** Since when it is known, in milliseconds since 1970. */
  readonly since: number;
  /** For those who do not see it. */
  readonly summary: string;
}

const WIDTH = 300;
const HEIGHT = 100;

/** Rounded up to 1, 2 or 5 times a power of ten, so that the scale seldom changes. */
export function niceCeiling(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((factor) => factor * power >= value * 0.999) ?? 10) * power;
}

const number = (value: number): string => value.toFixed(1).replace(/\.0$/, "");

function barsPath(values: readonly (number | null)[], below: readonly number[], most: number): string {
  const width = WIDTH / values.length;
  return values
    .map((value, index) => {
      if (!value) return "";
      const base = HEIGHT - ((below[index] ?? 0) / most) * HEIGHT;
      const height = Math.max(2.5, (value / most) * HEIGHT);
      return `M${number(index * width)} ${number(base)}h${number(width * 0.76)}v-${number(height)}h-${number(width * 0.76)}z`;
    })
    .join("");
}

function linePath(values: readonly (number | null)[], most: number, isArea: boolean): string {
  const width = WIDTH / values.length;
  let path = "";
  let from: number | null = null;
  const x = (index: number): string => number((index + 0.5) * width);
  const close = (to: number): void => {
    if (isArea && from !== null) path += `L${x(to)} ${HEIGHT}L${x(from)} ${HEIGHT}z`;
    from = null;
  };
  values.forEach((value, index) => {
    if (value === null) {
      if (from !== null) close(index - 1);
      return;
    }
    const y = number(HEIGHT - (Math.min(value, most) / most) * HEIGHT);
    // One step alone would be a line of no length.
    path += from === null ? `M${x(index)} ${y}${isArea ? "" : "h.6"}` : `L${x(index)} ${y}`;
    from ??= index;
  });
  if (from !== null) close(values.length - 1);
  return path;
}

export function Plot({ title, value, unit, note, series, format, end, step, since, summary }: PlotProps): ReactElement {
  const id = useId();
  const [at, setAt] = useState<number | null>(null);
  const steps = series[0]?.values.length ?? 0;
  const below = Array.from<number>({ length: steps }).fill(0);
  const stacks = series.map(({ kind, values }) => {
    const base = [...below];
    if (kind === "bar") values.forEach((one, index) => { below[index] = (below[index] ?? 0) + (one ?? 0); });
    return base;
  });
  const highest = Math.max(...below, ...series.flatMap(({ kind, values }) => (kind === "bar" ? [] : values.map((one) => one ?? 0))));
  const most = niceCeiling(highest);
  const onMove = (event: PointerEvent<HTMLDivElement>): void => {
    const { left, width } = event.currentTarget.getBoundingClientRect();
    setAt(Math.min(steps - 1, Math.max(0, Math.floor(((event.clientX - left) / width) * steps))));
  };
  const unknown = Math.min(1, Math.max(0, 1 - (end - since) / (steps * step * 1_000)));
  const minutes = Math.round((steps * step) / 60);
  return (
    <section className="card plot" aria-labelledby={id}>
      <h2 className="figure-name" id={id}>{title}</h2>
      <p className="figure-value"><b>{value}</b> <small>{unit}</small></p>
      {note && <p className="figure-note">{note}</p>}
      <div className="plot-area" onPointerMove={onMove} onPointerLeave={() => setAt(null)}>
        <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={summary}>
          {unknown > 0 && <rect className="plot-unknown" width={number(unknown * WIDTH)} height={HEIGHT} />}
          <path className="plot-grid" d={`M0 ${HEIGHT / 2}H${WIDTH}M0 .5H${WIDTH}`} />
          {series.map(({ name, kind, tone, values }, index) => (
            <path key={name} className={`plot-${kind} tone-${tone}`}
              d={kind === "bar" ? barsPath(values, stacks[index] ?? [], most) : linePath(values, most, kind === "area")} />
          ))}
          {at !== null && <path className="plot-cursor" d={`M${number((at + 0.5) * (WIDTH / steps))} 0V${HEIGHT}`} />}
        </svg>
        <span className="plot-most" aria-hidden="true">{highest > 0 ? format(most) : ""}</span>
        {at !== null && (
          <span className="plot-readout" aria-hidden="true" style={{ "--at": (at + 0.5) / steps }}>
            {timeOfDay(new Date(end - (steps - at) * step * 1_000).toISOString())}
            {series.map(({ name, values }) => <b key={name}>{values[at] == null ? "–" : format(values[at])} {name}</b>)}
          </span>
        )}
      </div>
      <p className="plot-axis" aria-hidden="true"><span>{minutes} min ago</span><span>now</span></p>
    </section>
  );
}
