// A hub in memory: what a real one would say over its socket and by HTTP, without a network. Its states are kept by the
// apply rule of @ragpulse/client, so that events given here lead where they would lead there.
//
// What may come in: events, in order; any request of the client. What it never does: open anything; answer before the
// next turn of the loop, as no network would, unless it is told to.
import type { ConnectOptions, FileStatus, NamedEvent, PipelineStatus, SocketLike } from "@ragpulse/client";
import { type Message, Session, toStatus } from "@ragpulse/client/session";

export const AT = "2026-01-31T09:30:00.000Z";
const START = Date.parse(AT);

type Listener = (argument: never) => void;
type Reply = (reply: unknown) => void;

class Socket implements SocketLike {
  active = true;
  readonly #hub: Hub;
  readonly #listeners = new Map<string, Listener>();
  #any: (event: string, data: unknown) => void = () => {};
  readonly followed = new Set<string>();
  all = false;

  constructor(hub: Hub) {
    this.#hub = hub;
  }
  on(event: string, listener: Listener): this {
    this.#listeners.set(event, listener);
    return this;
  }
  onAny(listener: (event: string, data: unknown) => void): this {
    this.#any = listener;
    return this;
  }
  emit(event: string, ...args: unknown[]): this {
    const request = args[0] as { all?: boolean; pipeline_ids?: string[]; cursors?: Record<string, { epoch: string; seq: number }> };
    const reply = args[1] as Reply;
    if (event === "ping") this.#later(() => reply(Date.now() + this.#hub.clockAheadMs));
    if (event === "unsubscribe") for (const id of request.pipeline_ids ?? []) this.followed.delete(id);
    if (event === "subscribe") {
      this.#hub.subscribes.push(args[0]);
      this.#later(() => {
        if (request.all) this.all = true;
        const ids = new Set([...(request.pipeline_ids ?? []), ...(request.all ? this.#hub.sessions.keys() : [])]);
        const pipelines = [...ids].map((id) => {
          this.followed.add(id);
          const state = this.#hub.status(id);
          const cursor = request.cursors?.[id];
          if (!state) return { pipeline_id: id, recovered: false, replayed: 0, reason: "unknown_pipeline" };
          if (cursor?.epoch === state.epoch && cursor.seq === state.seq) return { pipeline_id: id, recovered: true, replayed: 0 };
          this.#any("pipeline:status", state);
          return { pipeline_id: id, recovered: false, replayed: 0 };
        });
        reply({ pipelines });
      });
    }
    return this;
  }
  disconnect(): this {
    this.active = false;
    this.#hub.sockets.delete(this);
    return this;
  }
  /** The library tells of something. */
  tell(event: string, argument?: unknown): void {
    if (this.active) (this.#listeners.get(event) as ((argument: unknown) => void) | undefined)?.(argument);
  }
  /** The hub says no, which the library knows from a connection that could not be made. */
  deny(message: string): void {
    if (!this.active) return;
    this.active = false;
    (this.#listeners.get("connect_error") as ((error: Error) => void) | undefined)?.(new Error(message));
  }
  receive(event: string, data: unknown): void {
    if (this.active) this.#any(event, data);
  }
  #later(act: () => void): void {
    setTimeout(() => this.active && act(), 1);
  }
}

/** A hub in memory. */
export class Hub {
  readonly sessions = new Map<string, Session>();
  readonly sockets = new Set<Socket>();
  readonly subscribes: unknown[] = [];
  readonly requests: { readonly url: URL; readonly authorization: string | null; readonly signal: AbortSignal }[] = [];
  readonly history = new Map<string, NamedEvent[]>();
  /** How many sockets were asked for. */
  opened = 0;
  /** Whether sockets can be opened, are refused by something in between, or by the network. */
  sockets_are: "open" | "refused" | "lost" = "open";
  /** Which token sockets are to show; null for any or none. */
  wanted: string | null = null;
  clockAheadMs = 0;
  /** All files of a pipeline, where its pages hold more than its state. */
  readonly files = new Map<string, FileStatus[]>();
  /** What to answer in place of a page. */
  failing: (() => Response | Promise<Response>) | null = null;
  /** Whether requests are answered before anything can be drawn. */
  isInstant = false;
  /** What pages wait for before they are answered. */
  late: Promise<void> | null = null;

  /** The options that lead here. */
  get options(): Pick<ConnectOptions, "fetch" | "io" | "reports" | "url"> {
    return { url: "http://hub.test", reports: false, io: this.io, fetch: this.fetch };
  }

  readonly io = (_url = "", { auth = {} }: { readonly auth?: Record<string, unknown> } = {}): SocketLike => {
    const socket = new Socket(this);
    this.opened += 1;
    this.sockets.add(socket);
    setTimeout(() => {
      if (this.wanted !== null && auth["token"] !== this.wanted) {
        return socket.deny("unauthorized: this token is not known");
      }
      if (this.sockets_are === "open") return socket.tell("connect");
      if (this.sockets_are === "refused") socket.active = true;
      socket.tell("connect_error", new Error("websocket error"));
    }, 1);
    return socket;
  };

  readonly fetch = async (address: string, init: RequestInit): Promise<Response> => {
    const url = new URL(address);
    const signal = init.signal ?? new AbortController().signal;
    this.requests.push({ url, authorization: new Headers(init.headers).get("authorization"), signal });
    if (!this.isInstant) await new Promise((go) => setTimeout(go, 1));
    signal.throwIfAborted();
    const [, id = "", kind] = /^\/api\/pipelines\/([^/]+)\/(\w+)$/.exec(url.pathname) ?? [];
    if (url.pathname === "/api/socket/info") return Response.json({ transport: "auto", rollout_percentage: 100, retry_after_ms: 0 });
    if (url.pathname === "/api/rag-status") {
      const pipelines = [...this.sessions.keys()].map((pipeline_id) => ({ pipeline_id, pipeline_type: "local_files" }));
      return Response.json({ pipelines });
    }
    if (kind === "events") {
      const state = this.status(decodeURIComponent(id));
      if (!state) return Response.json({ epoch: null, seq: 0, up_to_date: true, events: [], reason: "unknown_pipeline" });
      if (url.searchParams.get("seq") !== String(state.seq)) return Response.json({ epoch: state.epoch, seq: state.seq, snapshot: state });
      if (url.searchParams.get("wait") !== "0") {
        await new Promise<void>((go, stop) => {
          this.#waiting.add(go);
          signal.addEventListener("abort", () => stop(signal.reason as Error));
        });
        const now = this.status(decodeURIComponent(id));
        if (now) return Response.json({ epoch: now.epoch, seq: now.seq, snapshot: now });
      }
      return Response.json({ epoch: state.epoch, seq: state.seq, up_to_date: true, events: [] });
    }
    await this.late;
    if (this.failing) return this.failing();
    const after = Number(url.searchParams.get("after") ?? 0);
    const limit = Number(url.searchParams.get("limit") ?? 100);
    if (kind === "files") {
      const state = url.searchParams.get("state");
      const q = url.searchParams.get("q")?.toLowerCase();
      const fits = (this.files.get(id) ?? this.status(id)?.files ?? [])
        .filter((file) => file.seq > after && (!state || file.state === state) && (!q || file.name.toLowerCase().includes(q)));
      const files = fits.slice(0, limit);
      const last = files.at(-1);
      return Response.json({ files, ...(fits.length > limit && last && { next_after: last.seq }) });
    }
    if (kind === "history") {
      const file = url.searchParams.get("file");
      const fits = (this.history.get(id) ?? []).filter(({ data }) => {
        const subject = data["file"] as { id?: string } | undefined;
        return (data["seq"] as number) > after && (!file || subject?.id === file);
      });
      const events = fits.slice(0, limit);
      return Response.json({ events, ...(fits.length > limit && { next_after: events.at(-1)?.data["seq"] }) });
    }
    return Response.json({ code: "not_found", detail: "there is nothing" }, { status: 404 });
  };
  readonly #waiting = new Set<() => void>();

  /** The state of a pipeline, or null. */
  status(id: string): PipelineStatus | null {
    const state = this.sessions.get(id)?.state;
    return state ? toStatus(state) : null;
  }

  /** Takes a state as it is. */
  put(data: PipelineStatus): void {
    this.#give(data.pipeline_id, { event: "pipeline:status", data });
  }

  /** Something happens in a pipeline. */
  publish(id: string, event: string, data: Record<string, unknown> = {}): void {
    const state = this.status(id);
    const seq = (state?.seq ?? 0) + 1;
    const timestamp = (data["timestamp"] as string | undefined) ?? new Date(START + seq * 1_000).toISOString();
    const full = {
      pipeline_id: id, pipeline_type: "local_files", epoch: "e1", seq, received_at: timestamp, ...data, timestamp,
    };
    this.history.set(id, [...(this.history.get(id) ?? []), { event, data: full }]);
    this.#give(id, { event, data: full });
  }

  /** A file is queued, and worked on as far as that. */
  file(id: string, name: string, state: FileStatus["state"], more: Record<string, unknown> = {}): void {
    const file = { id: name, name: `${name}.pdf`, path: `docs/${name}.pdf` };
    const had = this.status(id)?.files.some((one) => one.id === name);
    if (!had) this.publish(id, "file:queued", { file, change: "created" });
    if (state === "queued") return;
    if (!had && state !== "skipped") this.publish(id, "file:processing", { file, processing_stage: "extraction", previous_state: "queued" });
    if (state === "processing") {
      if (Object.keys(more).length > 0) this.publish(id, "file:progress", { file, progress: 0, ...more });
      return;
    }
    const previous_state = state === "skipped" ? "queued" : "processing";
    const what = {
      completed: { results: { chunks_created: 12 }, success: true },
      failed: { error: { type: "ExtractionError", message: "the table is broken", stage: "extraction", retryable: false }, success: false },
      skipped: { reason: "duplicate" },
      cancelled: { requested_by: "admin" },
    }[state];
    this.publish(id, `file:${state}`, { file, previous_state, ...what, ...more });
  }

  /** Every socket breaks. */
  drop(): void {
    for (const socket of [...this.sockets]) socket.tell("disconnect", "transport close");
  }

  #give(id: string, message: Message): void {
    let session = this.sessions.get(id);
    if (!session) this.sessions.set(id, (session = new Session()));
    session.handle(message);
    for (const socket of this.sockets) if (socket.all || socket.followed.has(id)) socket.receive(message.event, message.data);
    for (const go of this.#waiting) go();
    this.#waiting.clear();
  }
}

/** The state of a pipeline with so many files, of which the state lists as many as it does. */
export function statusOf(id: string, files: readonly FileStatus[] = [], more: Partial<PipelineStatus> = {}): PipelineStatus {
  const counts = { queued: 0, processing: 0, completed: 0, failed: 0, skipped: 0, cancelled: 0 };
  for (const file of files) counts[file.state] += 1;
  return {
    pipeline_id: id, pipeline_type: "local_files", epoch: "e1", seq: Math.max(1, ...files.map(({ seq }) => seq)), timestamp: AT, status: "online",
    liveness: "live", last_activity: AT, total_processed: counts.completed, total_failed: counts.failed, counts, files: [...files],
    limits: { open: 1_000, ended: 200 }, ...more,
  };
}

/** A file. */
export const fileOf = (id: string, seq: number, state: FileStatus["state"] = "completed", more: Partial<FileStatus> = {}): FileStatus => ({
  id, name: `${id}.pdf`, state, seq, attempt: 1, path: `docs/${id}.pdf`, queued_at: AT,
  ...(state !== "queued" && { started_at: AT }), ...(state !== "queued" && state !== "processing" && { completed_at: AT }), ...more,
});
