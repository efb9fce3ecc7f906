// What an error says, for a person to read.
//
// What may come in: anything that was thrown. What it never does: throw.

/** What an error says. */
export function said(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Node says only "fetch failed", and why in the cause.
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
