// Numbers, times, spans and foreign text for people.
//
// What may come in: any text, any number. What it never does: depend on the language or the zone of the machine it runs
// on while `zone` is given, so that a server and a page say the same.

const cache = new Map<string, Intl.NumberFormat | Intl.DateTimeFormat>();
function cached<T extends Intl.NumberFormat | Intl.DateTimeFormat>(key: string, make: () => T): T {
  const format = cache.get(key) ?? make();
  cache.set(key, format);
  return format as T;
}

/** A number, with so many decimals at most. */
export const count = (value: number, locale: string, decimals = 0): string =>
  cached(`${locale} ${decimals}`, () => new Intl.NumberFormat(locale, { maximumFractionDigits: decimals })).format(value);

/** A part of 1. Never 100 % before all is done. */
export const percent = (part: number, locale: string): string => `${count(Math.floor(part * 100), locale)} %`;

/** A size: `512 B`, `1.4 MB`. */
export function bytes(value: number, locale: string): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const unit = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, value)) / 3));
  const amount = value / 1_000 ** unit;
  return `${count(amount, locale, amount < 10 && unit > 0 ? 1 : 0)} ${units[unit]}`;
}

/** A span of seconds in one or two units: `23 ms`, `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`. */
export function span(seconds: number, locale: string): string {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds <= 0) return "0 s";
  if (seconds < 0.0995) return `${Math.max(1, Math.round(seconds * 1_000))} ms`;
  if (seconds < 9.95) return `${count(seconds, locale, 1)} s`;
  const rounded = Math.round(seconds);
  if (rounded < 60) return `${rounded} s`;
  const minutes = Math.floor(rounded / 60);
  if (minutes < 10 && rounded % 60) return `${minutes} min ${rounded % 60} s`;
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${count(Math.floor(hours / 24), locale)} d`;
}

/** The same without tenths, for what ticks. */
export const ticking = (seconds: number, locale: string): string => span(Math.max(0, Math.floor(seconds)), locale);

/** A time of day; in UTC, and saying so, where the zone of the reader is not known. */
export const timeOfDay = (time: string, locale: string, isLocal: boolean): string =>
  clock(time, locale, isLocal, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

/** A day and a time. */
export const dayAndTime = (time: string, locale: string, isLocal: boolean): string =>
  clock(time, locale, isLocal, { dateStyle: "medium", timeStyle: "medium", hour12: false });

function clock(time: string, locale: string, isLocal: boolean, options: Intl.DateTimeFormatOptions): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return "–";
  const zone = isLocal ? {} : { timeZone: "UTC" };
  const text = cached(`${locale} ${isLocal} ${JSON.stringify(options)}`, () => new Intl.DateTimeFormat(locale, { ...options, ...zone })).format(date);
  return isLocal ? text : `${text} UTC`;
}

/** A word of the contract: `google_drive` is `Google drive`. */
export function words(text: string): string {
  const spaced = shown(text).replaceAll("_", " ");
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

/** Foreign text without control and direction marks, which would let it rearrange or break the line that it stands in. */
export const shown = (text: string): string =>
  text.replace(/[\t\n\r]+/g, " ").replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\uFFFD");
