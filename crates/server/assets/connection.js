// The way to the hub: one socket, and long polls with the same cursor while the socket cannot be had.
//
// Messages go to one session per pipeline, in the order in which they come; the sessions keep the one apply rule, so
// switching between socket and polls neither loses nor doubles anything.

import { io } from "./socket.io.esm.min.js";
import { Session } from "./reducer.js";

const DISCOVER_MS = 10_000;
/** Somebody who looks at an empty page waits for the first pipeline. */
const DISCOVER_FIRST_MS = 2_000;
const PING_MS = { visible: 5_000, hidden: 15_000 };
const PING_TIMEOUT_MS = 3_000;
const ACK_TIMEOUT_MS = 10_000;
/** How long a socket may be away before polls begin. */
const GRACE_MS = 1_500;
const WAIT_SECONDS = 25;
/** Browsers open six connections to a host: with more pipelines than this, polls take turns and are not held. */
const HELD_POLLS = 4;
const POLL_PAUSE_MS = 2_000;
const CLIENT = { user_agent: "ragpulse-page", protocol: 1 };

const pause = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });

export class Hub {
  /** By id: `{id, type, session, problem}`. */
  pipelines = new Map();
  /** `connecting`, `websocket`, `polling`, `offline`. */
  transport = "connecting";
  /** The last round trip in ms, or null. */
  latency = null;
  /** When anything last came from the hub, by this machine's monotonic clock; null before. */
  heardAt = null;
  /** The hub's clock less this machine's, in ms. */
  clockOffset = 0;
  /** Whether the hub has told its pipelines at least once. */
  discovered = false;

  #socket = null;
  #onMessage;
  #onChange;
  #polls = null;
  #pollStart = null;
  #returnAfter = null;
  #silent = 0;

  /**
   * `onMessage(pipeline, message, step)` after each message that did something;
   * `onChange(pipeline?)` when a connection or the list of pipelines changed.
   */
  constructor({ onMessage, onChange }) {
    this.#onMessage = onMessage;
    this.#onChange = onChange;
  }

  start() {
    this.#socket = io("/", {
      transports: ["websocket"],
      auth: { client: CLIENT.user_agent },
      reconnectionDelay: 500,
      reconnectionDelayMax: 5_000,
      timeout: 5_000,
    });
    const socket = this.#socket;
    socket.on("connect", () => this.#connected());
    socket.on("connect_error", () => this.#unconnected());
    socket.on("disconnect", (reason) => {
      this.#unconnected();
      // A server that says goodbye is not called again by the library.
      if (reason === "io server disconnect") {
        setTimeout(() => socket.connect(), (this.#returnAfter ?? 1_000) + Math.random() * 1_000);
      }
      this.#returnAfter = null;
    });
    socket.onAny((event, data) => this.#receive({ event, data }));
    this.#unconnected();
    this.#discoverForEver();
    this.#pingForEver();
  }

  /** The hub's time, as well as it can be told. */
  now() {
    return Date.now() + this.clockOffset;
  }

  /** Tries again at once: the person asked for it, or the machine is back on a network. */
  retry() {
    if (!this.#socket.connected) this.#socket.disconnect().connect();
    this.#discover();
  }

  // ------------------------------------------------------------------------------------------ socket

  #connected() {
    clearTimeout(this.#pollStart);
    this.#pollStart = null;
    this.#polls?.abort();
    this.#polls = null;
    this.#silent = 0;
    this.transport = "websocket";
    for (const { session } of this.pipelines.values()) session.resynced();
    this.#subscribe([...this.pipelines.values()]);
    this.#ping();
    this.#discover();
    this.#onChange();
  }

  #unconnected() {
    if (this.transport === "websocket") this.transport = "connecting";
    this.latency = null;
    for (const { session } of this.pipelines.values()) session.resynced();
    if (this.#pollStart === null && this.#polls === null) {
      this.#pollStart = setTimeout(() => this.#poll(), GRACE_MS);
    }
    this.#onChange();
  }

  async #subscribe(pipelines) {
    const socket = this.#socket;
    if (pipelines.length === 0 || !socket.connected) return;
    const cursors = {};
    for (const { id, session } of pipelines) if (session.cursor) cursors[id] = session.cursor;
    const request = { pipeline_ids: pipelines.map(({ id }) => id), cursors, client_info: CLIENT };
    const connection = socket.id;
    let reply;
    try {
      reply = await socket.timeout(ACK_TIMEOUT_MS).emitWithAck("subscribe", request);
    } catch {
      reply = { error: { code: "timeout", message: "The hub did not answer.", retryable: true } };
    }
    if (socket.id !== connection) return;
    const told = new Map((reply?.pipelines ?? []).map((answer) => [answer.pipeline_id, answer]));
    for (const pipeline of pipelines) {
      pipeline.problem = reply?.error?.message ?? null;
      pipeline.session.resynced();
      // What came of the pipeline since stands; only a state that the hub does not know is dropped.
      if (told.get(pipeline.id)?.reason === "unknown_pipeline") {
        const { cursor } = pipeline.session;
        const asked = cursors[pipeline.id];
        if (cursor && asked && cursor.epoch === asked.epoch && cursor.seq === asked.seq) pipeline.session.reset();
      }
    }
    if (reply?.error?.retryable) {
      await pause(2_000);
      if (socket.id === connection) this.#subscribe(pipelines.filter(({ id }) => this.pipelines.has(id)));
    }
    this.#onChange();
  }

  #receive(message) {
    this.heardAt = performance.now();
    const { event, data } = message;
    if (event === "hub:closing") {
      this.#returnAfter = data?.retry_after_ms ?? null;
      return;
    }
    if (event === "subscription:ended") {
      this.pipelines.delete(data?.pipeline_id);
      this.#onChange();
      return;
    }
    let pipeline = this.pipelines.get(data?.pipeline_id);
    if (!pipeline && data?.pipeline_type && event !== "heartbeat" && event !== "pipeline:removed") {
      // Asked for while the hub did not know it, as after its restart, and taken off the list since.
      pipeline = this.#add(data.pipeline_id, data.pipeline_type);
      this.#onChange();
    }
    if (pipeline && this.#hand(pipeline, message) === "resync") this.#subscribe([pipeline]);
  }

  #hand(pipeline, message) {
    let step;
    try {
      step = pipeline.session.handle(message);
    } catch (error) {
      // A payload that is not what the contract says: better a whole state again than a broken one.
      console.error("ragpulse: a message could not be read", message.event, error);
      pipeline.session.reset();
      return "resync";
    }
    const { state } = pipeline.session;
    if (state) pipeline.type = state.pipeline_type;
    this.#onMessage(pipeline, message, step);
    return step.verdict;
  }

  async #pingForEver() {
    for (;;) {
      await pause(document.hidden ? PING_MS.hidden : PING_MS.visible);
      await this.#ping();
    }
  }

  async #ping() {
    const socket = this.#socket;
    if (!socket.connected) return;
    const sent = performance.now();
    try {
      const serverTime = await socket.timeout(PING_TIMEOUT_MS).emitWithAck("ping", Date.now());
      this.heardAt = performance.now();
      this.latency = this.heardAt - sent;
      if (Number.isFinite(serverTime)) this.clockOffset = serverTime + this.latency / 2 - Date.now();
      this.#silent = 0;
    } catch {
      if (!socket.connected) return;
      // The socket says nothing about a connection that is silently gone.
      this.#silent += 1;
      this.latency = null;
      if (this.#silent >= 2) {
        this.#silent = 0;
        socket.disconnect().connect();
      }
    }
    this.#onChange();
  }

  // ------------------------------------------------------------------------------------------ polling

  #poll() {
    this.#pollStart = null;
    if (this.#socket.connected || this.#polls) return;
    this.#polls = new AbortController();
    for (const pipeline of this.pipelines.values()) this.#pollOne(pipeline, this.#polls.signal);
    this.#discover();
  }

  async #pollOne(pipeline, signal) {
    while (!signal.aborted && this.pipelines.get(pipeline.id) === pipeline) {
      const held = this.pipelines.size <= HELD_POLLS;
      let wait = held ? 0 : POLL_PAUSE_MS;
      try {
        wait = (await this.#ask(pipeline, held ? WAIT_SECONDS : 0, signal)) ? 0 : Math.max(wait, 500);
        this.#reached();
      } catch (error) {
        if (signal.aborted) return;
        this.#unreached(error);
        wait = POLL_PAUSE_MS + Math.random() * POLL_PAUSE_MS;
      }
      if (wait > 0) await pause(wait, signal);
    }
  }

  /** One page. Gives whether to ask for the next one at once. */
  async #ask(pipeline, wait, signal) {
    const { session } = pipeline;
    const query = new URLSearchParams({ wait: String(session.cursor ? wait : 0) });
    if (session.cursor) {
      query.set("epoch", session.cursor.epoch);
      query.set("seq", String(session.cursor.seq));
    }
    const path = `/api/pipelines/${encodeURIComponent(pipeline.id)}/events?${query}`;
    const response = await fetch(path, { signal, headers: { accept: "application/json" } });
    if (response.status === 404) {
      if (session.state) {
        session.reset();
        this.#onChange();
      }
      return false;
    }
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    const answer = await response.json();
    // What was asked for while the socket was away may be answered when it is back.
    if (signal.aborted) return false;
    session.resynced();
    if (answer.snapshot) {
      const reason = answer.reason ?? answer.snapshot.reason;
      const data = reason ? { ...answer.snapshot, reason } : answer.snapshot;
      return this.#hand(pipeline, { event: "pipeline:status", data }) !== "resync";
    }
    if (answer.reason === "unknown_pipeline") {
      session.reset();
      this.#onChange();
      return false;
    }
    for (const message of answer.events) {
      if (this.#hand(pipeline, message) === "resync") {
        session.resynced();
        return false;
      }
    }
    return answer.events.length > 0 || wait > 0;
  }

  #reached() {
    this.heardAt = performance.now();
    if (this.transport !== "polling" && !this.#socket.connected) {
      this.transport = "polling";
      this.#onChange();
    }
  }

  #unreached() {
    if (this.transport !== "offline" && !this.#socket.connected) {
      this.transport = "offline";
      this.#onChange();
    }
  }

  // ------------------------------------------------------------------------------------------ pipelines

  #add(id, type) {
    const pipeline = { id, type, session: new Session(), problem: null };
    this.pipelines.set(id, pipeline);
    return pipeline;
  }

  async #discoverForEver() {
    for (;;) {
      await this.#discover();
      await pause(this.pipelines.size === 0 ? DISCOVER_FIRST_MS : DISCOVER_MS);
    }
  }

  async #discover() {
    let status;
    const sent = performance.now();
    try {
      const response = await fetch("/api/rag-status", { headers: { accept: "application/json" } });
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      status = await response.json();
    } catch {
      if (this.#polls) this.#unreached();
      return;
    }
    if (this.#polls) {
      this.latency = performance.now() - sent;
      this.#reached();
    }
    this.discovered = true;
    const listed = new Set();
    const fresh = [];
    for (const { pipeline_id: id, pipeline_type: type } of status.pipelines ?? []) {
      listed.add(id);
      if (this.pipelines.has(id)) continue;
      fresh.push(this.#add(id, type));
    }
    for (const [id, { session }] of this.pipelines) if (!listed.has(id) && !session.state) this.pipelines.delete(id);
    this.#subscribe(fresh);
    if (this.#polls) for (const pipeline of fresh) this.#pollOne(pipeline, this.#polls.signal);
    this.#onChange();
  }
}

/**
 * Files that a state does not list, from the hub's own index: up to `most` of them, and whether there are more.
 * Gives null where the hub does not offer it.
 */
export async function lookUp(pipelineId, { state, text, most = 500, signal }) {
  const found = [];
  let after = 0;
  for (;;) {
    const query = new URLSearchParams({ after: String(after), limit: String(most) });
    if (state) query.set("state", state);
    if (text) query.set("q", text);
    const path = `/api/pipelines/${encodeURIComponent(pipelineId)}/files?${query}`;
    const response = await fetch(path, { signal, headers: { accept: "application/json" } });
    if (response.status === 404 || response.status === 405) return null;
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    const page = await response.json();
    found.push(...page.files);
    if (!page.next_after || page.next_after <= after) return { files: found, more: false };
    if (found.length >= most) return { files: found.slice(0, most), more: true };
    after = page.next_after;
  }
}
