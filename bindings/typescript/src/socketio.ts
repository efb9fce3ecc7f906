// Sockets by socket.io-client: a thin driver that turns what it tells into the machine's inputs.
//
// What may come in: whatever the library tells, also of a socket that was closed. What it never does: reconnect, poll
// below Socket.IO, or keep anything: the machine does the one, and HTTP with cursors the other; import what is
// loaded before it, which would make bundlers cut that in two.
import { decode } from "./decode.js";
import type { Endpoint } from "./endpoint.js";
import type { ClientStatus, PipelineId, SubscribeReply, SubscribeRequest } from "./generated/index.js";
import { isCode, isRetryable } from "./machine/codes.js";
import type { Input } from "./machine/io.js";
import { socketRules } from "./machine/talk.js";

/** What is needed of a socket of socket.io-client. */
export interface SocketLike {
  /** Whether the library still holds it for alive; false after the server has denied it. */
  readonly active: boolean;
  on(event: string, listener: (argument: never) => void): unknown;
  onAny(listener: (event: string, data: unknown) => void): unknown;
  emit(event: string, ...args: unknown[]): unknown;
  disconnect(): unknown;
}

/** The options with which a socket is opened. */
export interface SocketOptions {
  readonly path: string;
  readonly transports: string[];
  readonly auth: Record<string, unknown>;
  readonly reconnection: boolean;
  readonly forceNew: boolean;
  readonly timeout: number;
}

/** `io` of socket.io-client, or what stands for it. */
export type OpenSocket = (url: string, options: SocketOptions) => SocketLike;

/** What a socket works with. */
export interface SocketParts {
  /** Its number. */
  readonly conn: number;
  readonly endpoint: Endpoint;
  /** `io` of socket.io-client, if not the one that is installed beside this package. */
  readonly io: OpenSocket | undefined;
  /** How long opening it may take. */
  readonly withinMs: number;
  readonly tell: (input: Input) => void;
  /** Something came: after which round trip, and what the hub's clock said, where that is known. */
  readonly heard: (latencyMs: number | null, hubTime: number | null) => void;
}

/** `io` of the socket.io-client that is installed beside this package. */
async function installed(): Promise<OpenSocket> {
  return (await import("socket.io-client")).io;
}

const said = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** One socket, from being opened until it is closed or lost. */
export class Connection {
  readonly #parts: SocketParts;
  #socket: SocketLike | null = null;
  #closed = false;

  constructor(parts: SocketParts) {
    this.#parts = parts;
    void this.#open();
  }

  #tell(input: Input): void {
    if (!this.#closed) this.#parts.tell(input);
  }

  #lost(message: string): void {
    this.#tell({ type: "socket_lost", conn: this.#parts.conn, message });
  }

  #refused(message: string): void {
    // A hub says `code: what happened`.
    const [, name, words] = /^(\w+): (.+)$/s.exec(message) ?? [];
    const isHub = isCode(name) && words !== undefined;
    const said = isHub ? { code: name, message: words, retryable: isRetryable(name) } : { code: null, message, retryable: true };
    this.#tell({ type: "socket_refused", conn: this.#parts.conn, ...said });
  }

  async #open(): Promise<void> {
    const { conn, endpoint, io, withinMs } = this.#parts;
    let open: OpenSocket;
    try {
      open = io ?? (await installed());
    } catch (error) {
      this.#refused(`there is no socket.io-client: ${said(error)}`);
      return;
    }
    try {
      const token = await endpoint.token();
      if (this.#closed) return;
      const socket = open(endpoint.origin, {
        path: `${endpoint.path}/socket.io/`,
        transports: ["websocket"],
        auth: token === null ? {} : { token },
        reconnection: false,
        forceNew: true,
        timeout: withinMs,
      });
      this.#socket = socket;
      socket.on("connect", () => this.#tell({ type: "socket_opened", conn, rules: socketRules }));
      socket.on("connect_error", (error: unknown) => (socket.active ? this.#lost(said(error)) : this.#refused(said(error))));
      socket.on("disconnect", (reason: unknown) => this.#lost(String(reason)));
      socket.onAny((event, data) => this.#receive(event, data));
    } catch (error) {
      this.#lost(said(error));
    }
  }

  #receive(event: string, data: unknown): void {
    if (this.#closed) return;
    const { conn, heard } = this.#parts;
    heard(null, null);
    const decoded = decode(event, data);
    if (decoded.kind === "message") this.#tell({ type: "message", conn, message: decoded.message });
    if (decoded.kind === "bad") this.#tell({ type: "bad_message", conn, pipeline: decoded.pipeline });
  }

  /** Subscribes. */
  subscribe(request: SubscribeRequest): void {
    this.#socket?.emit("subscribe", request, (reply: unknown) => {
      if (isReply(reply)) this.#tell({ type: "subscribed", conn: this.#parts.conn, reply });
      else this.#lost("the hub's answer to subscribe cannot be read");
    });
  }

  /** Tries whether it works. */
  ping(): void {
    const sent = performance.now();
    this.#socket?.emit("ping", Date.now(), (hubTime: unknown) => {
      if (this.#closed) return;
      this.#parts.heard(performance.now() - sent, typeof hubTime === "number" ? hubTime : null);
      this.#tell({ type: "pong", conn: this.#parts.conn });
    });
  }

  /** Subscribes no more. Nothing depends on the answer: what comes all the same is not followed. */
  unsubscribe(pipelines: readonly PipelineId[]): void {
    this.#socket?.emit("unsubscribe", { pipeline_ids: pipelines }, () => {});
  }

  /** Tells how this client fares. */
  report(status: ClientStatus): void {
    this.#socket?.emit("client:status", status, () => {});
  }

  /** Shows the hub a fresh token. Where the hub says no, the socket is given up, and the next one tells why. */
  async refreshToken(): Promise<void> {
    try {
      const token = await this.#parts.endpoint.token();
      if (token === null) return;
      this.#socket?.emit("auth:refresh", { token }, (reply: unknown) => {
        if (typeof reply === "object" && reply !== null && "error" in reply) this.#lost("the hub does not take the token");
        else this.#tell({ type: "renewed", conn: this.#parts.conn });
      });
    } catch (error) {
      this.#lost(`there is no token: ${said(error)}`);
    }
  }

  /** Closes it; nothing more is told of it. */
  close(): void {
    this.#closed = true;
    this.#socket?.disconnect();
    this.#socket = null;
  }
}

function isReply(reply: unknown): reply is SubscribeReply {
  if (typeof reply !== "object" || reply === null) return false;
  if ("error" in reply) {
    const { error } = reply;
    return typeof error === "object" && error !== null && "code" in error && typeof error.code === "string";
  }
  const isNamed = (answer: unknown): boolean => typeof answer === "object" && answer !== null && "pipeline_id" in answer;
  return "pipelines" in reply && Array.isArray(reply.pipelines) && reply.pipelines.every(isNamed);
}
