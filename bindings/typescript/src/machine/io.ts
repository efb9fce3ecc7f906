// What goes into the connection machine, and what comes out. Times are numbers of milliseconds, by a clock of the caller's
// that only goes forward.
import type {
  Code, Cursor, Liveness, PipelineId, PipelineType, ResetReason, SubscribeReply, SubscribeRequest,
} from "../generated/index.js";
import type { Message, SequenceEvent } from "../messages.js";
import type { Anomaly } from "../reducer.js";
import type { SocketRules } from "./talk.js";

/**
 * By what a client may be connected.
 *
 * - `auto`: as the hub advises; without advice, or when it leaves the choice, by socket, and by polling while no socket can
 *   be had.
 * - `websocket`: by socket only, whatever the hub advises.
 * - `polling`: by polling only, whatever the hub advises.
 */
export type TransportChoice = "auto" | "websocket" | "polling";

/** What a hub says of how it wants to be followed. */
export interface Advice {
  /** By what clients shall follow it. */
  readonly transport: TransportChoice;
  /** How many clients of a hundred shall use the socket. */
  readonly rolloutPercentage: number;
  /** How long a client that lost its connection shall wait before it comes back. */
  readonly retryAfterMs: number;
}

/** Why a client is not connected by socket, or not at all. */
export type Cause =
  /** The caller chose polling. */
  | { readonly kind: "chosen" }
  /** The hub advised this client to poll; it is asked again from time to time. */
  | { readonly kind: "advised" }
  /** The connection could not be made, or broke. */
  | { readonly kind: "failed"; readonly message: string }
  /** The same, while the browser says that there is no network. */
  | { readonly kind: "offline"; readonly message: string }
  /** Something that is no hub, such as a proxy, does not let the socket in; or there is no socket library. */
  | { readonly kind: "refused"; readonly message: string }
  /** The hub said no. */
  | { readonly kind: "rejected"; readonly code: Code; readonly message: string }
  /** Nothing was heard for so long. */
  | { readonly kind: "silence"; readonly afterMs: number }
  /** The hub closes, and asked to be left alone for so long. */
  | { readonly kind: "hub_closing"; readonly retryAfterMs: number }
  /** The caller closed it. */
  | { readonly kind: "closed" };

/**
 * How a client is connected.
 *
 * - `connecting`: nothing has come yet, or not yet again; it is being worked on.
 * - `websocket`: updates come as they happen.
 * - `polling`: the same updates, with a little more effort; a socket is tried again from time to time.
 * - `waiting`: nothing comes; it is tried again after a while.
 * - `closed`: nothing comes, and nothing is tried again; where the hub has refused (`rejected`), not until it is asked for.
 */
export type ConnectionState = "connecting" | "websocket" | "polling" | "waiting" | "closed";

/** How a client is connected, and why not better. */
export interface ConnectionStatus {
  /** How it is connected. */
  readonly state: ConnectionState;
  /** Why not by socket, or not at all; null where there is nothing to explain. */
  readonly cause: Cause | null;
}

/** One thing that happened, in the order in which it happened for its pipeline. */
export type Update =
  /** The next event of the pipeline's sequence, without hole, repeat or swap. */
  | { readonly kind: "event"; readonly pipeline: PipelineId; readonly event: SequenceEvent; readonly anomalies: readonly Anomaly[] }
  /** A state that replaces all before it; the reason says why it comes in place of events. */
  | { readonly kind: "snapshot"; readonly pipeline: PipelineId; readonly reason: ResetReason | null }
  /** Whether the pipeline's reporters are heard has changed by the passing of time. */
  | { readonly kind: "liveness"; readonly pipeline: PipelineId; readonly liveness: Liveness }
  /** The hub does not know the pipeline (any more): there is no state. Events may come later, from `seq` 1. */
  | { readonly kind: "reset"; readonly pipeline: PipelineId }
  /** The pipeline was forgotten on request, or is followed no more: there is no state. Events may come later, from `seq` 1. */
  | { readonly kind: "removed"; readonly pipeline: PipelineId }
  /** The hub has ended the subscription to this pipeline; nothing more comes of it. */
  | { readonly kind: "ended"; readonly pipeline: PipelineId; readonly code: Code }
  /** By what updates come has changed. */
  | { readonly kind: "connection"; readonly status: ConnectionStatus };

/** A pipeline that the hub knows. */
export interface Listed {
  readonly pipeline_id: PipelineId;
  readonly pipeline_type: PipelineType;
}

/** What happened. Numbers say which socket, poll or question it is about. */
export type Input =
  /** Begins; also anew, from where it stood, after the hub has refused. */
  | { readonly type: "start" }
  | { readonly type: "stop" }
  | { readonly type: "tick" }
  /** Time has passed in which nothing could be looked at, as in a machine that slept. */
  | { readonly type: "caught_up" }
  | { readonly type: "hidden" }
  | { readonly type: "visible" }
  | { readonly type: "offline" }
  | { readonly type: "online" }
  | { readonly type: "advised"; readonly ask: number; readonly advice: Advice }
  | { readonly type: "not_advised"; readonly ask: number }
  /** With the rules for what comes of it, which are loaded together with what opens sockets. */
  | { readonly type: "socket_opened"; readonly conn: number; readonly rules: SocketRules }
  /** The code is the hub's, or null where it was no hub that said no; `retryable`: whether the same may succeed later. */
  | {
      readonly type: "socket_refused";
      readonly conn: number;
      readonly code: Code | null;
      readonly message: string;
      readonly retryable: boolean;
    }
  | { readonly type: "socket_lost"; readonly conn: number; readonly message: string }
  | { readonly type: "subscribed"; readonly conn: number; readonly reply: SubscribeReply }
  | { readonly type: "pong"; readonly conn: number }
  | { readonly type: "message"; readonly conn: number; readonly message: Message }
  /** The hub has taken a fresh token, which may allow more than the one before. */
  | { readonly type: "renewed"; readonly conn: number }
  | { readonly type: "bad_message"; readonly conn: number; readonly pipeline: PipelineId | null }
  | { readonly type: "follow"; readonly pipelines: readonly PipelineId[] }
  | { readonly type: "unfollow"; readonly pipelines: readonly PipelineId[] }
  /** Somebody wants it tried now. */
  | { readonly type: "hurry" }
  /** The pipelines that the hub knows, or null and why they could not be had. */
  | {
      readonly type: "listed";
      readonly list: number;
      readonly pipelines: readonly Listed[] | null;
      readonly code: Code | null;
      readonly message: string;
    }
  | {
      readonly type: "poll_answered";
      readonly poll: number;
      readonly pipeline: PipelineId;
      readonly messages: readonly Message[];
      /** Whether one after these could not be read. */
      readonly bad: boolean;
      /** Whether the hub does not know the pipeline. */
      readonly unknown: boolean;
    }
  | {
      readonly type: "poll_failed";
      readonly poll: number;
      readonly pipeline: PipelineId;
      /** The hub's code, or null where it was no hub that answered. */
      readonly code: Code | null;
      readonly message: string;
      readonly retryAfterMs: number | null;
    };

/** An input of one type. */
export type InputOf<T extends Input["type"]> = Extract<Input, { readonly type: T }>;

/** A command of one type. */
export type CommandOf<T extends Command["type"]> = Extract<Command, { readonly type: T }>;

/** What is to be done, in order. */
export type Command =
  | { readonly type: "ask_advice"; readonly ask: number }
  | { readonly type: "open_socket"; readonly conn: number }
  | { readonly type: "close_socket"; readonly conn: number }
  | { readonly type: "subscribe"; readonly conn: number; readonly request: SubscribeRequest }
  | { readonly type: "unsubscribe"; readonly conn: number; readonly pipelines: readonly PipelineId[] }
  | { readonly type: "ping"; readonly conn: number }
  | { readonly type: "list"; readonly list: number }
  | {
      readonly type: "poll";
      readonly poll: number;
      readonly pipeline: PipelineId;
      readonly cursor: Cursor | null;
      readonly waitSeconds: number;
    }
  | { readonly type: "stop_polls"; readonly pipelines: readonly PipelineId[] }
  | { readonly type: "emit"; readonly update: Update };
