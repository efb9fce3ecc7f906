// Numbers, times and durations for people.

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const hours = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export const count = (value) => whole.format(value);

/** A rate: with a decimal while it is small. */
export const rate = (value) => (value < 10 ? tenth : whole).format(value);

export const percent = (part) => `${Math.floor(part * 100)} %`;

export function bytes(value) {
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
export const quantity = (value, one) => `${count(value)} ${one}${value === 1 ? "" : "s"}`;

/** A span of seconds in one or two units: `23 ms`, `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`. */
export function span(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 0) return span(0);
  if (seconds > 0 && seconds < 0.0995) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  if (seconds < 9.95) return `${tenth.format(seconds)} s`;
  const rounded = Math.round(seconds);
  if (rounded < 60) return `${rounded} s`;
  const minutes = Math.floor(rounded / 60);
  if (minutes < 10) return rounded % 60 ? `${minutes} min ${rounded % 60} s` : `${minutes} min`;
  if (minutes < 60) return `${minutes} min`;
  const whole_hours = Math.floor(minutes / 60);
  if (whole_hours < 48) return minutes % 60 ? `${whole_hours} h ${minutes % 60} min` : `${whole_hours} h`;
  return `${count(Math.floor(whole_hours / 24))} d`;
}

/** The same, without tenths: for what ticks. */
export const clockSpan = (seconds) => span(Math.max(0, Math.floor(seconds)));

/** How long ago, seen from `now` (both ms). */
export function ago(time, now) {
  const seconds = (now - time) / 1000;
  return seconds < 2 ? "now" : `${clockSpan(seconds)} ago`;
}

export const timeOfDay = (text) => hours.format(new Date(text));
export const dateAndTime = (text) => moment.format(new Date(text));

/** A word of the contract for people: `google_drive` → `Google drive`. */
export function words(text) {
  const spaced = text.replaceAll("_", " ");
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}
