// What the connection machine knows, and the steps that its rules share. The rules are in machine.ts, socket.ts, poll.ts.
//
// What may come in: calls of the rules, with the time. What it never does: I/O, or read a clock.
import { Backoff, type Chance } from "./backoff.js";
import { Guide } from "./guide.js";
import type { Cause, Command, ConnectionState, ConnectionStatus, TransportChoice, Update } from "./io.js";
import { Link, PING_EVERY_MS } from "./link.js";
import { Pipelines, type Scope } from "./pipelines.js";
import { type Intervals, Polls } from "./polls.js";
import type { PipelineId, PipelineStatus } from "../generated/index.js";

/** How long opening a socket may take. */
export const OPEN_WITHIN_MS = 5_000;

/** Where the machine stands; the table in machine.ts says what each is. */
export type Phase =
  | { readonly name: "idle" }
  | { readonly name: "waiting"; readonly until: number }
  | { readonly name: "asking"; readonly ask: number; readonly until: number }
  | { readonly name: "connecting"; readonly conn: number; readonly until: number }
  | { readonly name: "joining"; readonly link: Link }
  | { readonly name: "live"; readonly link: Link }
  | { readonly name: "polling"; readonly probeAt: number | null }
  | { readonly name: "inquiring"; readonly ask: number; readonly until: number }
  | { readonly name: "probing"; readonly conn: number; readonly until: number }
  | { readonly name: "proving"; readonly link: Link }
  | { readonly name: "closed" };

/** The names of all phases. */
export type PhaseName = Phase["name"];

/** What a machine is made for. */
export interface MachineOptions {
  /** The pipelines to follow by name. With none, and no scope, it waits to be told. */
  readonly pipelines: readonly PipelineId[];
  /** Which others to follow. */
  readonly scope?: Scope;
  /** States to begin with, as from a server that has drawn the page. */
  readonly initial?: Iterable<PipelineStatus>;
  /** How often to poll, instead of by long polls. */
  readonly intervals?: Intervals | null;
  /** What the caller chose to connect by. */
  readonly transport: TransportChoice;
  /** Which part of a hundred of all clients this one is in: see `partOf`. */
  readonly part: number;
  /** Chance for the jitter. */
  readonly chance: Chance;
  /** What this program calls itself to the hub. */
  readonly userAgent: string;
}

/** The machine's memory. */
export class Core {
  readonly guide: Guide;
  readonly pipelines: Pipelines;
  readonly polls: Polls;
  readonly intervals: Intervals | null;
  /** Whether it ends together with its last subscription: nobody asked for others later. */
  isFixed: boolean;
  /** Between sockets, while nothing is polled. */
  readonly reopen: Backoff;
  /** Between tries of a socket, while polling. */
  readonly probe: Backoff;
  /** Of a poll that failed. */
  readonly rest: Backoff;
  phase: Phase = { name: "idle" };
  /** Why not by socket. */
  cause: Cause | null = null;
  /** Why the last poll failed, until one does not. */
  pollCause: Cause | null = null;
  /** Whether nobody can be looking. */
  hidden = false;
  /** Whether the browser says that there is no network. It may be wrong, above all about hubs on this machine. */
  offline = false;
  /** Until when the hub asked not to be called. */
  notBefore = 0;
  told: ConnectionStatus = { state: "connecting", cause: null };
  out: Command[] = [];
  #lastConn = 0;

  constructor({ pipelines, scope = null, initial = [], intervals = null, transport, part, chance, userAgent }: MachineOptions) {
    this.guide = new Guide(transport, part);
    this.pipelines = new Pipelines(pipelines, scope, userAgent);
    this.pipelines.seed(initial);
    this.polls = new Polls(intervals === null);
    this.intervals = intervals;
    this.isFixed = pipelines.length > 0 && scope === null;
    this.reopen = new Backoff(250, 30_000, chance);
    this.probe = new Backoff(5_000, 60_000, chance);
    this.rest = new Backoff(500, 30_000, chance);
  }

  get pingEveryMs(): number {
    return this.hidden ? PING_EVERY_MS.hidden : PING_EVERY_MS.visible;
  }

  /** Whether polls are on. */
  get isPolling(): boolean {
    const { name } = this.phase;
    switch (name) {
      case "polling":
      case "inquiring":
      case "probing":
      case "proving":
        return true;
      case "idle":
      case "waiting":
      case "asking":
      case "connecting":
      case "joining":
      case "live":
      case "closed":
        return false;
      default:
        return name satisfies never;
    }
  }

  /** The open socket, if there is one; with a number, only if it is that one. */
  link(conn?: number): Link | null {
    const { phase } = this;
    switch (phase.name) {
      case "joining":
      case "live":
      case "proving":
        return conn === undefined || phase.link.conn === conn ? phase.link : null;
      case "idle":
      case "waiting":
      case "asking":
      case "connecting":
      case "polling":
      case "inquiring":
      case "probing":
      case "closed":
        return null;
      default:
        return phase satisfies never;
    }
  }

  /** The number of the socket that is open or being opened. */
  get conn(): number | null {
    const { phase } = this;
    if (phase.name === "connecting" || phase.name === "probing") return phase.conn;
    return this.link()?.conn ?? null;
  }

  push(command: Command): void {
    this.out.push(command);
  }

  emit(update: Update | null): void {
    if (update) this.out.push({ type: "emit", update });
  }

  /** Opens a socket; gives its number. */
  open(): number {
    this.#lastConn += 1;
    this.push({ type: "open_socket", conn: this.#lastConn });
    return this.#lastConn;
  }

  /** Closes the socket, if there is one. */
  dropSocket(): void {
    const { conn } = this;
    if (conn === null) return;
    this.push({ type: "close_socket", conn });
    this.pipelines.disconnected();
  }

  /** Polls everything, and tries the socket again at a time, or never. */
  poll(now: number, probeAt: number | null): void {
    this.phase = { name: "polling", probeAt };
    for (const id of this.pipelines.ids) this.polls.add(id, now);
  }

  stopPolls(): void {
    this.push({ type: "stop_polls" });
    this.polls.clear();
    this.pollCause = null;
  }

  /** Ends everything. */
  close(cause: Cause): void {
    if (this.phase.name === "closed") return;
    this.dropSocket();
    if (this.isPolling) this.stopPolls();
    this.phase = { name: "closed" };
    this.cause = cause;
  }

  get #state(): ConnectionState {
    const { name } = this.phase;
    switch (name) {
      case "idle":
      case "asking":
      case "connecting":
      case "joining":
        return "connecting";
      case "waiting":
        return this.cause === null ? "connecting" : "waiting";
      case "live":
        return "websocket";
      case "polling":
      case "inquiring":
      case "probing":
      case "proving":
        if (this.polls.healthy === null) return this.pipelines.isEmpty ? "polling" : "connecting";
        return this.polls.healthy ? "polling" : "waiting";
      case "closed":
        return "closed";
      default:
        return name satisfies never;
    }
  }

  /** Tells by what updates come, if that changed. */
  tell(): void {
    const state = this.#state;
    const cause = (this.isPolling ? this.pollCause : null) ?? this.cause;
    if (state === this.told.state && isSameCause(cause, this.told.cause)) return;
    this.told = { state, cause };
    this.emit({ kind: "connection", status: this.told });
  }
}

function isSameCause(a: Cause | null, b: Cause | null): boolean {
  // All of a cause is plain text and numbers, written in the same order.
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}
