// The token of this page, and where it is kept: in this tab, or on this device if that is asked for.
//
// What may come in: a browser that forbids storage; other tabs that change what this device keeps. What it never does: fail then; keep a token in two places, or one that
// the hub has not taken; put one into an address, a log or a text.
import { endOf, isBlind } from "./token.js";

const KEY = "ragpulse.token";

/** Where tokens are kept. Each is asked for when it is needed, as a browser may forbid to. */
export interface Stores {
  readonly tab: () => Storage;
  readonly device: () => Storage;
}

/** What the page may know of its token without holding it. The same object until the token changes. */
export interface Standing {
  /** Whether there is one. */
  readonly has: boolean;
  /** When it ends, in milliseconds since 1970 by the hub's clock; null where it does not say. */
  readonly endsAt: number | null;
  /** Whether it says of itself that it can see no pipeline. */
  readonly isBlind: boolean;
}

const standingOf = (token: string | null): Standing =>
  token === null ? { has: false, endsAt: null, isBlind: false } : { has: true, endsAt: endOf(token), isBlind: isBlind(token) };

/** Does something with a storage; gives null where it is forbidden. */
function attempt<T>(act: () => T): T | null {
  try {
    return act();
  } catch {
    return null;
  }
}

/** The token of this page. */
export class TokenSession {
  readonly #stores: Stores;
  readonly #listeners = new Set<() => void>();
  #token: string | null;
  #isOnDevice = false;
  #standing: Standing;

  constructor(stores: Stores) {
    this.#stores = stores;
    this.#token = attempt(() => stores.tab().getItem(KEY));
    if (this.#token === null) {
      this.#token = attempt(() => stores.device().getItem(KEY));
      this.#isOnDevice = this.#token !== null;
    }
    this.#standing = standingOf(this.#token);
  }

  /** For the connection, which asks for it before each socket and request. */
  readonly token = (): string | null => this.#token;

  /** What the page may know of it. */
  readonly standing = (): Standing => this.#standing;

  /** Calls back when there is another, or none any more. Gives how to end it. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Takes a token, and keeps it in this tab, or on this device. */
  take(token: string, onDevice: boolean): void {
    const { tab, device } = this.#stores;
    const [to, from] = onDevice ? [device, tab] : [tab, device];
    attempt(() => to().setItem(KEY, token));
    attempt(() => from().removeItem(KEY));
    this.#isOnDevice = onDevice;
    this.#become(token);
  }

  /**
   * What this device keeps was changed by another tab (an event `storage`; a key of null stands for everything). Gives
   * whether that concerns this tab: then it has the new token, or none any more.
   */
  follow(key: string | null, value: string | null): boolean {
    if (!this.#isOnDevice || (key !== null && key !== KEY) || value === this.#token) return false;
    this.#become(value);
    return true;
  }

  /** Forgets it, everywhere. */
  forget(): void {
    this.#isOnDevice = false;
    for (const storage of [this.#stores.tab, this.#stores.device]) attempt(() => storage().removeItem(KEY));
    this.#become(null);
  }

  #become(token: string | null): void {
    this.#token = token;
    this.#standing = standingOf(token);
    for (const listener of [...this.#listeners]) listener();
  }
}
