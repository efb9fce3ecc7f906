// Sockets by socket.io-client: a thin driver that turns what it tells into the machine's inputs.
//
// What may come in: whatever the library tells, also of a socket that was closed. What it never does: reconnect, poll
// below Socket.IO, or keep anything: the machine does the one, and HTTP with cursors the other.
import { decode } from "./decode.js";
import type { Endpoint } from "./endpoint.js";
import type { ClientStatus, PipelineId, SubscribeReply, SubscribeRequest } from "./generated/index.js";
import { isCode } from "./machine/codes.js";
import { OPEN_WITHIN_MS } from "./machine/core.js";
import type { Input } from "./machine/io.js";

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

/** `io` of the socket.io-client that is installed beside this package. */
async function installed(): Promise<OpenSocket> {
  return (await import("socket.io-client")).io;
}

const said = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** A hub says `code: what happened`. */
function refusal(conn: number, message: string): Input {
  const code = message.split(":", 1)[0];
  return { type: "socket_refused", conn, code: isCode(code) ? code : null, message };
}

/** One socket, from being opened until it is closed or lost. */
export class Connection {
  readonly #conn: number;
  readonly #endpoint: Endpoint;
  readonly #tell: (input: Input) => void;
  readonly #heard: (latencyMs: number | null, hubTime: number | null) => void;
  #socket: SocketLike | null = null;
  #closed = false;

  constructor(
    conn: number,
    endpoint: Endpoint,
    io: OpenSocket | undefined,
    tell: (input: Input) => void,
    heard: (latencyMs: number | null, hubTime: number | null) => void,
  ) {
    this.#conn = conn;
    this.#endpoint = endpoint;
    this.#heard = heard;
    this.#tell = (input) => {
      if (!this.#closed) tell(input);
    };
    void this.#open(endpoint, io);
  }

  async #open(endpoint: Endpoint, io: OpenSocket | undefined): Promise<void> {
    const conn = this.#conn;
    let open: OpenSocket;
    try {
      open = io ?? (await installed());
    } catch (error) {
      this.#tell({ type: "socket_refused", conn, code: null, message: `there is no socket.io-client: ${said(error)}` });
      return;
    }
    try {
      const token = await endpoint.token();
      if (this.#closed) return;
      const socket = open(endpoint.origin, {
        path: endpoint.socketPath,
        transports: ["websocket"],
        auth: token === null ? {} : { token },
        reconnection: false,
        forceNew: true,
        timeout: OPEN_WITHIN_MS,
      });
      this.#socket = socket;
      socket.on("connect", () => this.#tell({ type: "socket_opened", conn }));
      socket.on("connect_error", (error: unknown) => {
        this.#tell(socket.active ? { type: "socket_lost", conn, message: said(error) } : refusal(conn, said(error)));
      });
      socket.on("disconnect", (reason: unknown) => this.#tell({ type: "socket_lost", conn, message: String(reason) }));
      socket.onAny((event, data) => this.#receive(event, data));
    } catch (error) {
      this.#tell({ type: "socket_lost", conn, message: said(error) });
    }
  }

  #receive(event: string, data: unknown): void {
    this.#heard(null, null);
    const decoded = decode(event, data);
    if (decoded.kind === "message") this.#tell({ type: "message", conn: this.#conn, message: decoded.message });
    if (decoded.kind === "bad") this.#tell({ type: "bad_message", conn: this.#conn, pipeline: decoded.pipeline });
  }

  /** Subscribes. */
  subscribe(request: SubscribeRequest): void {
    const conn = this.#conn;
    this.#socket?.emit("subscribe", request, (reply: unknown) => {
      if (isReply(reply)) this.#tell({ type: "subscribed", conn, reply });
      else this.#tell({ type: "socket_lost", conn, message: "the hub's answer to subscribe cannot be read" });
    });
  }

  /** Tries whether it works. */
  ping(): void {
    const sent = performance.now();
    this.#socket?.emit("ping", Date.now(), (hubTime: unknown) => {
      this.#heard(performance.now() - sent, typeof hubTime === "number" ? hubTime : null);
      this.#tell({ type: "pong", conn: this.#conn });
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
    const lost = (message: string): void => this.#tell({ type: "socket_lost", conn: this.#conn, message });
    try {
      const token = await this.#endpoint.token();
      if (token === null) return;
      this.#socket?.emit("auth:refresh", { token }, (reply: unknown) => {
        if (typeof reply === "object" && reply !== null && "error" in reply) lost("the hub does not take the token");
      });
    } catch (error) {
      lost(`there is no token: ${said(error)}`);
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
