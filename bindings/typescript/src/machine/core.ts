// What the connection machine knows, and the steps that its rules share. The rules are in machine.ts, socket.ts, poll.ts.
//
// What may come in: calls of the rules, with the time. What it never does: I/O, or read a clock.
import { Backoff, type Chance } from "./backoff.js";
import { Guide } from "./guide.js";
import type { Cause, Command, ConnectionState, ConnectionStatus, TransportChoice, Update } from "./io.js";
import type { Link } from "./link.js";
import { Pipelines, type Scope } from "./pipelines.js";
import { type Intervals, Polls } from "./polls.js";
import type { SocketRules } from "./talk.js";
import type { Code, PipelineId, PipelineStatus } from "../generated/index.js";

/** How long opening a socket may take. */
export const OPEN_WITHIN_MS = 5_000;
/** After how many failures in a row polling takes over. */
const FAILURES = 3;
/** Over how long at least those come back whose socket broke: with a hub's usual second there is data within two. */
const LOST_SPREAD_MS = 500;

/**
 * What the socket is at. A socket is open or being opened where there is a `conn`; nothing but an input ends what has no
 * `until`.
 */
export type Step =
  | { readonly at: "rest"; readonly until: number }
  | { readonly at: "ask"; readonly until: number; readonly ask: number }
  | { readonly at: "open"; readonly until: number; readonly conn: number }
  | { readonly at: "talk"; readonly conn: number; readonly link: Link; readonly rules: SocketRules };

/** The phases: what the socket is at, without polls and with them. The table in machine.ts says what each is. */
const PHASES = {
  rest: ["waiting", "polling"],
  ask: ["asking", "inquiring"],
  open: ["connecting", "probing"],
  talk: ["joining", "proving"],
} as const satisfies Record<Step["at"], readonly [string, string]>;

/** The names of all phases. */
export type PhaseName = (typeof PHASES)[Step["at"]][number] | "idle" | "live" | "closed";

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
  step: Step = { at: "rest", until: Infinity };
  /** Whether polls are on. */
  isPolling = false;
  isClosed = false;
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

  /** Where it stands. */
  get phase(): PhaseName {
    const { step, isPolling } = this;
    if (this.isClosed) return "closed";
    if (this.isLive) return "live";
    if (!isPolling && step.at === "rest" && step.until === Infinity) return "idle";
    return PHASES[step.at][isPolling ? 1 : 0];
  }

  /** Whether updates come by the socket, and by nothing else. */
  get isLive(): boolean {
    return !this.isPolling && this.link()?.subscribed === true;
  }

  /** The open socket, if there is one. */
  link(): Link | null {
    return this.step.at === "talk" ? this.step.link : null;
  }

  /** The number of the socket that is open or being opened. */
  get conn(): number | null {
    return "conn" in this.step ? this.step.conn : null;
  }

  push(command: Command): void {
    this.out.push(command);
  }

  emit(update: Update | null): void {
    if (update) this.out.push({ type: "emit", update });
  }

  /** Why something failed that only says so in words. */
  failure(message: string): Cause {
    return { kind: this.offline ? "offline" : "failed", message };
  }

  /** Opens a socket. */
  open(now: number): void {
    this.#lastConn += 1;
    this.step = { at: "open", conn: this.#lastConn, until: now + OPEN_WITHIN_MS };
    this.push({ type: "open_socket", conn: this.#lastConn });
  }

  /** Closes the socket, if there is one, and leaves it at that until a time. */
  pause(until: number): void {
    const { conn } = this;
    this.step = { at: "rest", until };
    if (conn === null) return;
    this.push({ type: "close_socket", conn });
    this.pipelines.disconnected();
  }

  /** This socket is lost, or cannot be had: tries again, or polls. */
  lost(now: number, conn: number, cause: Cause): void {
    if (this.conn !== conn) return;
    const { reopen, guide } = this;
    this.cause = cause;
    if (this.isPolling) return this.poll(now, now + this.probe.fail());
    const wasOpen = this.link() !== null;
    const wait = reopen.fail();
    // It waits so long that one failure after it is enough.
    if (wasOpen) reopen.fail();
    // Waiting for a second silence, or asking a proxy twice, is time without data; another failure may be a restart.
    const enough = cause.kind === "refused" || cause.kind === "silence" || reopen.failures >= FAILURES;
    if (enough && guide.choice === "auto") {
      reopen.reset();
      this.poll(now, now + this.probe.fail());
    } else {
      // Who had a socket lost it together with everybody else who had one, if it was the hub that went.
      this.pause(now + (wasOpen ? reopen.spread(guide.putOff(wait), LOST_SPREAD_MS) : wait));
    }
  }

  /** Ends the subscription to one pipeline; after the last one there is nothing left to do. */
  end(pipeline: PipelineId, code: Code): void {
    this.emit(this.pipelines.end(pipeline, code));
    this.stopPoll(pipeline);
    if (this.isFixed && this.pipelines.isEmpty) this.close({ kind: "rejected", code, message: "every subscription has ended" });
  }

  /** Polls everything, and tries the socket again at a time, or never. */
  poll(now: number, probeAt: number): void {
    this.pause(probeAt);
    this.isPolling = true;
    for (const id of this.pipelines.ids) this.polls.add(id, now);
  }

  stopPoll(pipeline: PipelineId): void {
    if (!this.isPolling) return;
    this.polls.remove(pipeline);
    this.push({ type: "stop_polls", pipelines: [pipeline] });
  }

  stopPolls(): void {
    if (!this.isPolling) return;
    this.isPolling = false;
    this.push({ type: "stop_polls", pipelines: this.polls.clear() });
    this.pollCause = null;
  }

  /** Ends everything. */
  close(cause: Cause): void {
    this.pause(Infinity);
    this.stopPolls();
    this.isClosed = true;
    this.cause = cause;
  }

  get #state(): ConnectionState {
    if (this.isClosed) return "closed";
    if (this.isLive) return "websocket";
    const { healthy } = this.polls;
    if (this.isPolling && (healthy !== null || this.pipelines.isEmpty)) return healthy === false ? "waiting" : "polling";
    return !this.isPolling && this.step.at === "rest" && this.cause ? "waiting" : "connecting";
  }

  /** Tells by what updates come, if that changed. */
  tell(): void {
    const state = this.#state;
    const cause = this.pollCause ?? this.cause;
    if (state === this.told.state && isSameCause(cause, this.told.cause)) return;
    this.told = { state, cause };
    this.emit({ kind: "connection", status: this.told });
  }
}

function isSameCause(a: Cause | null, b: Cause | null): boolean {
  // All of a cause is plain text and numbers, written in the same order.
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}
