// Numbers, times and durations for people, in the language of their browser.
//
// What may come in: any number. What it never does: show NaN.
const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** A whole number, in groups. */
export const count = (value: number): string => whole.format(value);

/** A rate: with a decimal while it is small. */
export const rate = (value: number): string => (value < 10 ? tenth : whole).format(value);

/** A part of 1, rounded down: 100 % means all of it. */
export const percent = (part: number): string => `${Math.floor(part * 100)} %`;

/** A size in bytes. */
export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  let amount = value;
  while (amount >= 1000 && unit < units.length - 1) {
    amount /= 1000;
    unit += 1;
  }
  return `${(amount < 10 && unit > 0 ? tenth : whole).format(amount)} ${units[unit]}`;
}

/** So many of something: `1 chunk`, `2 chunks`. */
export const quantity = (value: number, one: string): string => `${count(value)} ${one}${value === 1 ? "" : "s"}`;

/** Milliseconds of a latency: `3 ms`, `1.2 s`. */
export const millis = (value: number): string => (value < 1000 ? `${Math.max(1, Math.round(value))} ms` : span(value / 1000));

/** A span of seconds in one or two units: `23 ms`, `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`. */
export function span(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 0) return span(0);
  if (seconds > 0 && seconds < 0.0995) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  if (seconds < 9.95) return `${tenth.format(seconds)} s`;
  const rounded = Math.round(seconds);
  if (rounded < 60) return `${rounded} s`;
  const minutes = Math.floor(rounded / 60);
  if (minutes < 10) return rounded % 60 ? `${minutes} min ${rounded % 60} s` : `${minutes} min`;
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${count(Math.floor(hours / 24))} d`;
}

/** The same, without tenths: for what ticks. */
export const clockSpan = (seconds: number): string => span(Math.max(0, Math.floor(seconds)));

/** How long ago, seen from `now`, both in milliseconds. */
export function ago(time: number, now: number): string {
  const seconds = (now - time) / 1000;
  return seconds < 2 ? "now" : `${clockSpan(seconds)} ago`;
}

const valid = (text: string, format: Intl.DateTimeFormat): string => {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? "–" : format.format(date);
};

/** The time of day of an RFC 3339 time. */
export const timeOfDay = (text: string): string => valid(text, clock);

/** Date and time of an RFC 3339 time. */
export const dateAndTime = (text: string): string => valid(text, moment);

/** A word of the contract for people: `google_drive` → `Google drive`. */
export function words(text: string): string {
  const spaced = text.replaceAll("_", " ");
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}
