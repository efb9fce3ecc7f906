// Where a hub is, and with which token it is spoken to; checked once.
//
// What may come in: any text for an address. What it never does: put a token into an address.
import type { Cursor, PipelineId } from "./generated/index.js";

/** A token, or what gives one when it is needed: before each socket and each request. */
export type TokenSource = string | (() => string | Promise<string>);

/** A hub: its address and the token for it. */
export class Endpoint {
  /** The origin, for Socket.IO. */
  readonly origin: string;
  /** The path of Socket.IO. */
  readonly socketPath: string;
  readonly #base: string;
  readonly #token: TokenSource | undefined;

  /** Throws a `TypeError` for what is no address of a hub. In a browser it may be relative to the page. */
  constructor(address: string | URL, token: TokenSource | undefined) {
    const page = (globalThis as { location?: { href?: string } }).location?.href;
    let url: URL;
    try {
      url = new URL(address, page);
    } catch {
      throw new TypeError(`"${String(address)}" is no address of a hub; give one such as http://127.0.0.1:8103`);
    }
    if (url.protocol !== "http:" && url.protocol !== "https:") {
      throw new TypeError(`a hub's address begins with http:// or https://, not with ${url.protocol}`);
    }
    if (url.username || url.password || url.search) {
      throw new TypeError("a hub's address holds no user, password or query; give a token by the option `token`");
    }
    this.origin = url.origin;
    const path = url.pathname.replace(/\/+$/, "");
    this.#base = url.origin + path;
    this.socketPath = `${path}/socket.io/`;
    this.#token = token;
  }

  /** The token, if there is one. */
  async token(): Promise<string | null> {
    const token = typeof this.#token === "function" ? await this.#token() : this.#token;
    return token ?? null;
  }

  /** The address of something that the hub serves. */
  at(path: string): string {
    return this.#base + path;
  }

  /** Where to ask for what comes after a cursor. */
  events(pipeline: PipelineId, cursor: Cursor | null, waitSeconds: number): string {
    const query = new URLSearchParams({ wait: String(waitSeconds) });
    if (cursor) {
      query.set("epoch", cursor.epoch);
      query.set("seq", String(cursor.seq));
    }
    return this.at(`/api/pipelines/${encodeURIComponent(pipeline)}/events?${query.toString()}`);
  }
}
