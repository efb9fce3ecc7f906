// What this browser remembers for good: the theme and the switch for single keys. The token is in session.ts.
//
// What may come in: a browser that forbids storage. What it never does: fail then.

/** Reads what was kept. */
export function recall(key: string): string | null {
  try {
    return localStorage.getItem(`ragpulse.${key}`);
  } catch {
    return null;
  }
}

/** Keeps something; null forgets it. */
export function keep(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(`ragpulse.${key}`);
    else localStorage.setItem(`ragpulse.${key}`, value);
  } catch {
    // It holds until the page is left, then.
  }
}
