// The pipelines a client follows, each with its state kept by the apply rule.
//
// What may come in: messages of any pipeline, from any transport, in any order. What it never does: I/O; fold a message
// twice or past a hole; follow what it was not asked to.
import {
  type Code, type Cursor, type PipelineId, type PipelineStatus, type PipelineType, PROTOCOL_VERSION, type SubscribeRequest,
} from "../generated/index.js";
import { isMessage, isSequenceEvent, type Message } from "../messages.js";
import { Session } from "../session.js";
import type { PipelineState } from "../state.js";
import type { Update } from "./io.js";
import type { Asked } from "./link.js";

/** After how many resyncs in a row that brought nothing a snapshot is asked for. */
const FRUITLESS = 3;

/** Which pipelines are followed without being named, also later ones; null for none. */
export type Scope = { readonly all: true } | { readonly pipeline_type: PipelineType } | null;

interface Tracked {
  readonly session: Session;
  /** Whether it was named; else it is there because it is in the scope, and only as long as the hub knows it. */
  named: boolean;
  /** Events cannot be read or do not help: only a snapshot does. */
  snapshotWanted: boolean;
  /** Resyncs since something was last applied. */
  resyncs: number;
}

/** What a message led to. */
export interface Received {
  readonly update: Update | null;
  /** Something is missing; whether asking for it has already been in vain. */
  readonly resync: { readonly pipeline: PipelineId; readonly inVain: boolean } | null;
}

const NOTHING: Received = Object.freeze({ update: null, resync: null });

const isSame = (a: Cursor | null, b: Cursor | null): boolean => a !== null && b !== null && a.epoch === b.epoch && a.seq === b.seq;

/** The followed pipelines. */
export class Pipelines {
  readonly #tracked = new Map<PipelineId, Tracked>();
  readonly #userAgent: string;
  readonly scope: Scope;
  /** Those that were asked for by name and that the hub has ended: another token may allow them. */
  readonly ended = new Set<PipelineId>();

  constructor(ids: Iterable<PipelineId>, scope: Scope, userAgent: string) {
    this.scope = scope;
    this.#userAgent = userAgent;
    for (const id of ids) this.add(id, true);
  }

  /** Whether there is nothing to subscribe to. */
  get isEmpty(): boolean {
    return this.#tracked.size === 0 && !this.scope;
  }

  /** Follows this too; gives whether that is new. */
  add(id: PipelineId, named: boolean): boolean {
    const tracked = this.#tracked.get(id);
    this.ended.delete(id);
    if (!tracked) this.#tracked.set(id, { session: new Session(), named, snapshotWanted: false, resyncs: 0 });
    else tracked.named ||= named;
    return !tracked;
  }

  /** Follows this no more, unless it is in the scope; gives whether it is gone. */
  remove(id: PipelineId): boolean {
    this.ended.delete(id);
    const tracked = this.#tracked.get(id);
    if (!tracked) return false;
    tracked.named = false;
    const { state } = tracked.session;
    return !(state && this.covers(state.pipeline_type)) && this.#tracked.delete(id);
  }

  /** Whether a pipeline of this type is followed without being named. */
  covers(type: PipelineType): boolean {
    const { scope } = this;
    return scope !== null && ("all" in scope || scope.pipeline_type === type);
  }

  /** Begins with states that somebody else has fetched; gives the pipelines that were taken. */
  seed(states: Iterable<PipelineStatus>): void {
    for (const data of states) this.receive({ event: "pipeline:status", data });
  }

  /** Those that were asked for by name. */
  get named(): PipelineId[] {
    return this.ids.filter((id) => this.#tracked.get(id)?.named);
  }

  get ids(): PipelineId[] {
    return [...this.#tracked.keys()];
  }

  has(id: PipelineId): boolean {
    return this.#tracked.has(id);
  }

  /** The state of a pipeline, or null. */
  state(id: PipelineId): PipelineState | null {
    return this.#tracked.get(id)?.session.state ?? null;
  }

  /** From where to go on: nothing where a snapshot is wanted. */
  cursor(id: PipelineId): Cursor | null {
    const tracked = this.#tracked.get(id);
    return !tracked || tracked.snapshotWanted ? null : tracked.session.cursor;
  }

  /**
   * The request that subscribes to some pipelines, or to all and the scope, from where they stand; what it asks for. With
   * `singly` those that are named are left out of all: they are asked for by themselves.
   */
  subscribeTo(some: Iterable<PipelineId> | null, singly: boolean): { asked: Asked; request: SubscribeRequest } {
    const all = some === null;
    const { named } = this;
    const ids = some ?? (singly ? this.ids.filter((id) => !named.includes(id)) : this.ids);
    const asked = new Map([...ids].filter((id) => this.has(id)).map((id) => [id, this.cursor(id)] as const));
    const cursors = new Map<PipelineId, Cursor>();
    for (const [id, cursor] of asked) if (cursor) cursors.set(id, cursor);
    const request: SubscribeRequest = {
      ...(all && this.scope),
      // What is only in the scope is not named, so that the hub need not hold it when it is gone.
      pipeline_ids: [...asked.keys()].filter((id) => !all || named.includes(id)),
      client_info: { user_agent: this.#userAgent, protocol: PROTOCOL_VERSION },
    };
    if (cursors.size > 0) request.cursors = Object.fromEntries(cursors);
    return { asked, request };
  }

  /** The connection is gone, and with it all that was asked for on it. */
  disconnected(): void {
    for (const { session } of this.#tracked.values()) session.resynced();
  }

  /** What was asked for this pipeline was answered. */
  answered(id: PipelineId): void {
    this.#tracked.get(id)?.session.resynced();
  }

  /**
   * The hub does not know this pipeline: its state is dropped. Only the state that was asked about; what came of the
   * pipeline since the question stands.
   */
  unknown(id: PipelineId, askedFrom: Cursor | null): Update | null {
    const tracked = this.#tracked.get(id);
    if (!tracked) return null;
    const at = tracked.session.cursor;
    // Where a snapshot was wanted it was asked about without a position.
    const isAsked = askedFrom ? isSame(at, askedFrom) : !at || tracked.snapshotWanted;
    if (!isAsked) return null;
    if (!tracked.named) {
      this.#tracked.delete(id);
      return { kind: "removed", pipeline: id };
    }
    if (!at) return null;
    tracked.session.reset();
    tracked.snapshotWanted = false;
    tracked.resyncs = 0;
    return { kind: "reset", pipeline: id };
  }

  /** The hub ended the subscription to this pipeline. */
  end(id: PipelineId, code: Code): Update | null {
    if (this.#tracked.get(id)?.named) this.ended.add(id);
    return this.#tracked.delete(id) ? { kind: "ended", pipeline: id, code } : null;
  }

  /** From here on only a snapshot helps this pipeline, or all of them. */
  wantSnapshot(id: PipelineId | null): void {
    for (const [own, tracked] of this.#tracked) if (id === null || id === own) tracked.snapshotWanted = true;
  }

  /** Does with a message of a pipeline what the apply rule says. */
  receive(message: Message): Received {
    if (isMessage(message, "subscription:ended") || isMessage(message, "hub:closing")) return NOTHING;
    if (isMessage(message, "pipeline:status") || isMessage(message, "heartbeat")) return this.#fold(message.data.pipeline_id, message);
    return isSequenceEvent(message) ? this.#fold(message.data.pipeline_id, message) : NOTHING;
  }

  #fold(pipeline: PipelineId, message: Message & { readonly data: { readonly pipeline_type: PipelineType } }): Received {
    // A heartbeat brings nothing to begin with, and an end no pipeline.
    const isFirst = message.event !== "heartbeat" && message.event !== "pipeline:removed";
    if (isFirst && this.covers(message.data.pipeline_type)) this.add(pipeline, false);
    const tracked = this.#tracked.get(pipeline);
    if (!tracked) return NOTHING;
    const { session } = tracked;
    const liveness = session.state?.liveness;
    const { verdict, anomalies } = session.handle(message);
    switch (verdict) {
      case "apply":
        tracked.resyncs = 0;
        if (!isSequenceEvent(message)) return NOTHING;
        if (message.event === "pipeline:removed") {
          if (!tracked.named) this.#tracked.delete(pipeline);
          return { update: { kind: "removed", pipeline }, resync: null };
        }
        return { update: { kind: "event", pipeline, event: message, anomalies }, resync: null };
      case "replace": {
        tracked.resyncs = 0;
        tracked.snapshotWanted = false;
        const reason = isMessage(message, "pipeline:status") ? (message.data.reason ?? null) : null;
        return { update: { kind: "snapshot", pipeline, reason }, resync: null };
      }
      case "resync": {
        tracked.resyncs += 1;
        const inVain = tracked.resyncs > FRUITLESS;
        tracked.snapshotWanted ||= inVain;
        return { update: null, resync: { pipeline, inVain } };
      }
      case "ignore": {
        const now = session.state?.liveness;
        return now === undefined || now === liveness ? NOTHING : { update: { kind: "liveness", pipeline, liveness: now }, resync: null };
      }
      default:
        return verdict satisfies never;
    }
  }
}
