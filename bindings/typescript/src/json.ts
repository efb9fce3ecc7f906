// What every part that reads foreign things needs to look at them.
//
// What may come in: anything. What it never does: throw.

/** A JSON object of which nothing is known yet. */
export type Json = Readonly<Record<string, unknown>>;

/** Whether a value is a JSON object. */
export const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);

/** What an error says. */
export function said(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Node says only "fetch failed", and why in the cause.
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
