// Times as the contract writes them.
//
// What may come in: anything. What it never does: hand a Date to anybody; the contract's times are strings.

const RFC3339 = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:)(\d\d)(\.\d{1,9})?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))$/;
// 0000-01-01 and 9999-12-31 less the widest offset: the years that can be written.
const EARLIEST = -62_167_219_200_000;
const LATEST = 253_402_207_200_000;

/** A time with an offset as the contract writes it: UTC, milliseconds. `undefined` for anything else. */
export function utc(value: unknown): string | undefined {
  const parts = typeof value === "string" ? RFC3339.exec(value) : null;
  if (!parts) return undefined;
  const [, day, minutes, seconds, fraction = ".0", sign, hours = "0", offset = "0"] = parts;
  const local = `${day}T${minutes}${seconds === "60" ? "59" : seconds}${fraction.slice(0, 4).padEnd(4, "0")}Z`;
  const time = new Date(local);
  // Days that do not exist roll over into the next month; the text then reads differently.
  if (Number.isNaN(time.getTime()) || time.toISOString() !== local) return undefined;
  const shift = (Number(hours) * 60 + Number(offset)) * 60_000;
  const millis = time.getTime() + (sign === "-" ? shift : -shift);
  return millis >= EARLIEST && millis <= LATEST ? new Date(millis).toISOString() : undefined;
}
