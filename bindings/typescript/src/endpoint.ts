// Where a hub is, and with which token it is spoken to; checked once.
//
// What may come in: any text for an address. What it never does: put a token into an address, or repeat an address that
// may hold a password.

/** A token, or what gives one when it is needed: before each socket and each request; null while there is none. */
export type TokenSource = string | (() => string | null | Promise<string | null>);

/** A hub: its address and the token for it. */
export class Endpoint {
  /** The origin, for Socket.IO. */
  readonly origin: string;
  /** Its path below the origin, without a slash at the end. */
  readonly path: string;
  readonly #token: TokenSource | undefined;

  /** Throws a `TypeError` for what is no address of a hub. In a browser it may be relative to the page. */
  constructor(address: string | URL, token: TokenSource | undefined) {
    let url: URL | null = null;
    try {
      url = new URL(address, globalThis.location?.href);
    } catch {
      // Told below.
    }
    if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search) {
      throw new TypeError("url: give http://HOST:PORT of a hub, without user, password or query");
    }
    this.origin = url.origin;
    this.path = url.pathname.replace(/\/+$/, "");
    this.#token = token;
  }

  /** The token, if there is one. */
  async token(): Promise<string | null> {
    const token = typeof this.#token === "function" ? await this.#token() : this.#token;
    return token ?? null;
  }

  /** The address of something that the hub serves. */
  at(path: string): string {
    return this.origin + this.path + path;
  }
}
