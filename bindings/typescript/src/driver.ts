// Does what the connection machine says, and tells it what happens: the only place with timers and a clock.
//
// What may come in: inputs from sockets, requests, timers and the page, also while others are being handled. What it
// never does: decide anything; let an input overtake another.
import type { Endpoint } from "./endpoint.js";
import type { Http } from "./http.js";
import type { Machine } from "./machine.js";
import type { Command, Input, Update } from "./machine/io.js";
import type { ClientStatus } from "./generated/index.js";
import type { Connection, OpenSocket } from "./socketio.js";

/** A timer that is so late was not looked at for a while: the machine slept, or the page was throttled. */
const LATE_MS = 1_000;
/** The longest that a timer can wait. */
const LONGEST_MS = 2_147_483_647;

/** What a driver works with. */
export interface DriverParts {
  readonly machine: Machine;
  readonly endpoint: Endpoint;
  readonly http: Http;
  /** `io` of socket.io-client, if not the one that is installed. */
  readonly io?: OpenSocket;
  readonly onUpdate: (update: Update) => void;
  /** Something came from the hub: after which round trip, and what its clock said, where that is known. */
  readonly onHeard: (latencyMs: number | null, hubTime: number | null) => void;
}

/** Runs a machine. */
export class Driver {
  readonly #parts: DriverParts;
  readonly #inputs: Input[] = [];
  #busy = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #connection: Connection | null = null;
  #conn: number | null = null;
  readonly #polls = new Map<string, AbortController>();
  readonly #ended = new AbortController();
  #unwatch: () => void = () => {};

  constructor(parts: DriverParts) {
    this.#parts = parts;
  }

  /** Begins. */
  start(): void {
    this.#unwatch = watchPage((input) => this.give(input));
    this.give({ type: "start" });
  }

  /** Ends everything: when it returns there is no socket, no request and no timer. */
  stop(): void {
    this.give({ type: "stop" });
  }

  /** Tells the hub how this client fares: by the socket if there is one that works, else with the next poll. */
  report(status: ClientStatus): void {
    const { machine, http } = this.#parts;
    if (machine.status.state === "websocket") this.#connection?.report({ ...http.untold(), ...status });
    else http.report(status);
  }

  /** Shows the hub a fresh token on the open socket. Without one there is nothing to do: each request asks for a token. */
  refreshToken(): void {
    void this.#connection?.refreshToken();
  }

  /** Hands an input to the machine, after those that came before it. */
  give(input: Input): void {
    this.#inputs.push(input);
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (let next = this.#inputs.shift(); next; next = this.#inputs.shift()) {
        for (const command of this.#parts.machine.handle(performance.now(), next)) this.#do(command);
      }
    } finally {
      this.#busy = false;
    }
    this.#wait();
  }

  #wait(): void {
    clearTimeout(this.#timer);
    const { machine } = this.#parts;
    if (machine.phase === "closed") {
      this.#unwatch();
      this.#ended.abort();
      return;
    }
    const { deadline } = machine;
    if (deadline === null) return;
    const due = performance.now() + Math.min(Math.max(deadline - performance.now(), 0), LONGEST_MS);
    this.#timer = setTimeout(() => {
      if (performance.now() - due > LATE_MS) this.give({ type: "caught_up" });
      this.give({ type: "tick" });
    }, Math.ceil(due - performance.now()));
  }

  /** The socket's part is loaded together with the library it needs: who only polls needs neither. */
  async #open(conn: number): Promise<void> {
    const { endpoint, io, onHeard } = this.#parts;
    this.#conn = conn;
    try {
      const { Connection } = await import("./socketio.js");
      if (this.#conn === conn) this.#connection = new Connection(conn, endpoint, io, (input) => this.give(input), onHeard);
    } catch (error) {
      this.give({ type: "socket_lost", conn, message: String(error) });
    }
  }

  #do(command: Command): void {
    const { http, onUpdate, onHeard } = this.#parts;
    switch (command.type) {
      case "ask_advice":
        void http.advice(command.ask, this.#ended.signal).then((input) => this.give(input));
        return;
      case "list": {
        const asked = performance.now();
        void http.list(command.list, this.#ended.signal).then((input) => {
          if (input.type === "listed" && input.pipelines) onHeard(performance.now() - asked, null);
          this.give(input);
        });
        return;
      }
      case "open_socket":
        void this.#open(command.conn);
        return;
      case "close_socket":
        this.#connection?.close();
        this.#connection = null;
        this.#conn = null;
        return;
      case "unsubscribe":
        return this.#connection?.unsubscribe(command.pipelines);
      case "subscribe":
        return this.#connection?.subscribe(command.request);
      case "ping":
        return this.#connection?.ping();
      case "poll": {
        const under = new AbortController();
        this.#polls.set(command.pipeline, under);
        const asked = performance.now();
        void http.poll(command, under.signal).then((input) => {
          // An answer that was held says nothing about the way.
          if (input.type === "poll_answered") onHeard(command.waitSeconds > 0 ? null : performance.now() - asked, null);
          this.give(input);
        });
        return;
      }
      case "stop_poll":
        this.#polls.get(command.pipeline)?.abort();
        this.#polls.delete(command.pipeline);
        return;
      case "stop_polls":
        for (const under of this.#polls.values()) under.abort();
        this.#polls.clear();
        return;
      case "emit":
        return onUpdate(command.update);
      default:
        return command satisfies never;
    }
  }
}

/** Tells what a page learns of its visibility and network; nothing where there is no page. Gives how to end it. */
function watchPage(tell: (input: Input) => void): () => void {
  const page = (globalThis as { document?: Document }).document;
  const shown = (): void => tell({ type: page?.visibilityState === "hidden" ? "hidden" : "visible" });
  const online = (): void => tell({ type: "online" });
  const offline = (): void => tell({ type: "offline" });
  if (!page?.addEventListener || typeof globalThis.addEventListener !== "function") return () => {};
  page.addEventListener("visibilitychange", shown);
  globalThis.addEventListener("online", online);
  globalThis.addEventListener("offline", offline);
  if (page.visibilityState === "hidden") shown();
  if (globalThis.navigator?.onLine === false) offline();
  return () => {
    page.removeEventListener("visibilitychange", shown);
    globalThis.removeEventListener("online", online);
    globalThis.removeEventListener("offline", offline);
  };
}
