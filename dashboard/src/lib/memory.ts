// What this browser remembers: the theme and the switch for single keys for good, a token for as long as the tab lives.
//
// What may come in: a browser that forbids storage. What it never does: fail then, or let a token leave sessionStorage.

function from(storage: () => Storage, key: string): string | null {
  try {
    return storage().getItem(key);
  } catch {
    return null;
  }
}

function to(storage: () => Storage, key: string, value: string | null): void {
  try {
    if (value === null) storage().removeItem(key);
    else storage().setItem(key, value);
  } catch {
    // It holds until the page is left, then.
  }
}

/** Reads what was kept for good. */
export const recall = (key: string): string | null => from(() => localStorage, `ragpulse.${key}`);
/** Keeps something for good; null forgets it. */
export const keep = (key: string, value: string | null): void => to(() => localStorage, `ragpulse.${key}`, value);

/** Where storage is forbidden, the token lives here. */
let token: string | null = null;
/** The token of this tab, or null. */
export const recallToken = (): string | null => token ?? from(() => sessionStorage, "ragpulse.token");
/** Keeps a token for this tab; null forgets it. */
export function keepToken(value: string | null): void {
  token = value;
  to(() => sessionStorage, "ragpulse.token", value);
}
