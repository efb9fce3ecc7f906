// Does what the connection machine says, and tells it what happens: the only place with timers and a clock.
//
// What may come in: inputs from sockets, requests, timers and the page, also while others are being handled. What it
// never does: decide anything; let an input overtake another.
import type { Endpoint } from "./endpoint.js";
import type { ClientStatus } from "./generated/index.js";
import type { Fetch, Http, Question } from "./http.js";
import { HubError } from "./hub-error.js";
import { said } from "./said.js";
import type { Machine } from "./machine.js";
import { OPEN_WITHIN_MS } from "./machine/core.js";
import type { Command, Input, Update } from "./machine/io.js";
import type { Connection, OpenSocket } from "./socketio.js";

/** A timer that is so late was not looked at for a while: the machine slept, or the page was throttled. */
const LATE_MS = 1_000;
/** The longest that a timer can wait. */
const LONGEST_MS = 2_147_483_647;

/** What a driver works with. */
export interface DriverParts {
  readonly machine: Machine;
  readonly endpoint: Endpoint;
  /** Stands for the global `fetch`. */
  readonly fetch?: Fetch | undefined;
  /** `io` of socket.io-client, if not the one that is installed. */
  readonly io?: OpenSocket | undefined;
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
  /** The requests under way: polls by their pipelines, others by a name that no pipeline has. */
  readonly #requests = new Map<string, AbortController>();
  /** What is to be told with the next poll. */
  #report: ClientStatus | null = null;
  /** What a poll that failed has not told. */
  #untold: ClientStatus | null = null;
  #unwatch: () => void = () => {};

  constructor(parts: DriverParts) {
    this.#parts = parts;
  }

  /** Begins, also anew after the hub has refused. */
  start(): void {
    this.give({ type: "start" });
    if (this.#parts.machine.phase !== "closed") this.#unwatch = watchPage((input) => this.give(input));
  }

  /** Ends everything: when it returns there is no socket, no request and no timer. */
  stop(): void {
    this.give({ type: "stop" });
  }

  /** Tells the hub how this client fares: by the socket if there is one that works, else with the next poll. */
  report(status: ClientStatus): void {
    // Why it fell back is told once: no later report may take the place of one that has not told it yet.
    const cause = (this.#report ?? this.#untold)?.fallback_cause;
    this.#untold = null;
    const report = cause === undefined ? status : { fallback_cause: cause, ...status };
    const isOpen = this.#parts.machine.status.state === "websocket";
    this.#report = isOpen ? null : report;
    if (isOpen) this.#connection?.report(report);
  }

  /** Tries now: what waits, or, after the hub has refused, everything. */
  retry(): void {
    if (this.#parts.machine.phase === "closed") this.start();
    else this.give({ type: "hurry" });
  }

  /** Shows the hub a fresh token on the open socket. Without one it is shown with the next try, which is due now. */
  refreshToken(): void {
    if (this.#connection) void this.#connection.refreshToken();
    else this.retry();
  }

  /** What the hub serves at a path. */
  async request(path: string, signal?: AbortSignal): Promise<unknown> {
    return (await this.#http()).request(path, signal);
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
      this.#abort(...this.#requests.keys());
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
      if (this.#conn !== conn) return;
      const tell = (input: Input): void => this.give(input);
      this.#connection = new Connection({ conn, endpoint, io, withinMs: OPEN_WITHIN_MS, tell, heard: onHeard });
    } catch (error) {
      this.give({ type: "socket_lost", conn, message: said(error) });
    }
  }

  #abort(...names: string[]): void {
    for (const name of names) {
      this.#requests.get(name)?.abort();
      this.#requests.delete(name);
    }
  }

  /** Like the socket's part, what asks by HTTP is loaded when it is needed. */
  async #http(): Promise<Http> {
    const { endpoint, fetch } = this.#parts;
    const { Http } = await import("./http.js");
    return new Http({ endpoint, fetch, HubError });
  }

  /** Asks, and tells what it led to. */
  async #ask(question: Question): Promise<void> {
    const isPoll = question.type === "poll";
    const under = new AbortController();
    this.#requests.set(isPoll ? question.pipeline : `${question.type}?`, under);
    const report = isPoll ? this.#report : null;
    if (isPoll) this.#report = null;
    let input: Input;
    try {
      const http = await this.#http();
      const asked = performance.now();
      input = await http.ask(question, under, report);
      // An answer that was held says nothing about the way, and one that says no may be anybody's.
      const isHeld = isPoll && question.waitSeconds > 0;
      const isGood = input.type === "poll_answered" || (input.type === "listed" && input.pipelines);
      if (isGood) this.#parts.onHeard(isHeld ? null : performance.now() - asked, null);
    } catch (error) {
      // Not with the next poll: something on the way may not let the header through.
      this.#untold ??= report;
      input = failed(question, said(error));
    }
    this.give(input);
  }

  #do(command: Command): void {
    switch (command.type) {
      case "ask_advice":
        // What the answer is most likely to lead to is loaded meanwhile.
        import("./socketio.js").catch(() => {});
        void this.#ask(command);
        return;
      case "list":
      case "poll":
        void this.#ask(command);
        return;
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
      case "stop_polls":
        return this.#abort(...command.pipelines);
      case "emit":
        return this.#parts.onUpdate(command.update);
      default:
        return command satisfies never;
    }
  }
}

/** What a question leads to that nobody answers. */
function failed(question: Question, message: string): Input {
  switch (question.type) {
    case "ask_advice":
      return { type: "not_advised", ask: question.ask };
    case "list":
      return { type: "listed", list: question.list, pipelines: null, code: null, message };
    case "poll":
      return { type: "poll_failed", poll: question.poll, pipeline: question.pipeline, code: null, message, retryAfterMs: null };
    default:
      return question satisfies never;
  }
}

/** Tells what a page learns of its visibility and network; nothing where there is no page. Gives how to end it. */
function watchPage(tell: (input: Input) => void): () => void {
  const page = globalThis.document as Document | undefined;
  if (!page) return () => {};
  const ended = new AbortController();
  const { signal } = ended;
  const shown = (): void => tell({ type: page.visibilityState === "hidden" ? "hidden" : "visible" });
  page.addEventListener("visibilitychange", shown, { signal });
  for (const type of ["online", "offline"] as const) globalThis.addEventListener(type, () => tell({ type }), { signal });
  if (page.visibilityState === "hidden") shown();
  if (globalThis.navigator.onLine === false) tell({ type: "offline" });
  return () => ended.abort();
}
