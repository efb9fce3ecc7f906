// The way in: follows pipelines and gives the store of their states.
//
// What may come in: the options, checked here. What it never does: throw later than at once: what goes wrong on the way
// is told by the store's connection.
import { clientId, override } from "./client-id.js";
import { Driver } from "./driver.js";
import { Endpoint, type TokenSource } from "./endpoint.js";
import { Follows } from "./follows.js";
import type { ClientStatus, PipelineId, PipelineStatus, PipelineType } from "./generated/index.js";
import type { Fetch } from "./http.js";
import { Machine } from "./machine.js";
import { partOf } from "./machine/guide.js";
import type { TransportChoice } from "./machine/io.js";
import type { Scope } from "./machine/pipelines.js";
import type { Intervals } from "./machine/polls.js";
import type { OpenSocket } from "./socketio.js";
import { type PipelineStatusStore, Snapshots } from "./store.js";

/** How pipelines are to be followed. */
export interface ConnectOptions {
  /** The hub's address, such as `http://127.0.0.1:8103`; in a browser it may be relative to the page. */
  readonly url: string | URL;
  /**
   * Which pipelines: ids, of which one that the hub does not know is followed from its first event; all of a type; or
   * `all` that this client may see. Of the last two, later ones too. With an empty list nothing is followed until
   * {@link PipelineStatusStore.follow} asks for it. Default: `all`.
   */
  readonly pipelines?: readonly PipelineId[] | "all" | { readonly type: PipelineType };
  /** By what to connect. Default: the environment variable `NEXT_PUBLIC_RAG_STATUS_TRANSPORT` if that is one, else `auto`. */
  readonly transport?: TransportChoice;
  /**
   * How to poll where no socket is used: `long` polls, which the hub answers when there is news; or in `interval`s, of 5 s
   * while there is something to do, 10 s while there is not, 30 s while the pipeline is offline, or of one's own.
   * Default: `long`.
   */
  readonly polling?: "long" | "interval" | Partial<Intervals>;
  /** States to begin with, such as a server fetched by `fetchInitialState`: it goes on from there. */
  readonly initial?: readonly PipelineStatus[];
  /** A token, or what gives one before each socket and each request. It never travels in an address. */
  readonly token?: TokenSource;
  /**
   * A stable name of this client, by which a hub rolls sockets out to a part of all. Default: a random one that is kept in
   * the browser's local storage, or lives as long as the program.
   */
  readonly clientId?: string;
  /**
   * Whether to tell the hub by what this client is connected, how long answers and paints take, and whether somebody is
   * looking. Default: true.
   */
  readonly reports?: boolean;
  /** `io` of socket.io-client. Default: the one that is installed, loaded when it is needed. */
  readonly io?: OpenSocket;
  /** Stands for the global `fetch`. */
  readonly fetch?: Fetch;
}

const PIPELINE_ID = /^[A-Za-z0-9._-]{1,128}$/;
const INTERVALS: Intervals = { busyMs: 5_000, idleMs: 10_000, offlineMs: 30_000 };

function checked(ids: Iterable<PipelineId>): PipelineId[] {
  const unique = [...new Set(ids)];
  for (const id of unique) {
    if (!PIPELINE_ID.test(id)) throw new TypeError(`pipelines: "${id}" is no id: 1 to 128 of A-Z a-z 0-9 . _ -`);
  }
  return unique;
}

/** Which pipelines are named, and which others are followed. */
function split(pipelines: NonNullable<ConnectOptions["pipelines"]>): [ids: readonly PipelineId[], scope: Scope] {
  if (pipelines === "all") return [[], { all: true }];
  return "type" in pipelines ? [[], { pipeline_type: pipelines.type }] : [pipelines, null];
}

/** A store that is not connected yet, so that it can be made where nothing may happen, as while a page is rendered. */
export interface UnconnectedStore extends PipelineStatusStore {
  /** Connects. Again, or after `close`, it does nothing. */
  readonly connect: () => void;
}

/**
 * Makes a store without connecting it.
 *
 * Throws a `TypeError` for options that cannot be meant.
 */
export function createPipelineStatusStore(options: ConnectOptions): UnconnectedStore {
  const { url, token, io, polling = "long", pipelines = "all" } = options;
  const [ids, scope] = split(pipelines);
  const endpoint = new Endpoint(url, token);
  const id = options.clientId ?? clientId();
  const machine = new Machine({
    pipelines: checked(ids),
    scope,
    initial: options.initial ?? [],
    intervals: polling === "long" ? null : { ...INTERVALS, ...(polling !== "interval" && polling) },
    transport: options.transport ?? override() ?? "auto",
    part: partOf(id),
    chance: Math.random,
    userAgent: "@ragpulse/client",
  });
  const snapshots = new Snapshots({ state: (pipeline) => machine.state(pipeline), pipelines: () => machine.pipelines });
  const driver = new Driver({
    machine,
    endpoint,
    fetch: options.fetch,
    io,
    onUpdate: (update) => snapshots.take(update),
    onHeard: (latencyMs, hubTime) => snapshots.heard(latencyMs, hubTime),
  });
  const follows = new Follows(
    ids,
    (pipelines) => driver.give({ type: "follow", pipelines }),
    (pipelines) => driver.give({ type: "unfollow", pipelines }),
  );
  let state: "new" | "connected" | "closed" = "new";
  const store: UnconnectedStore = {
    get connection() {
      return snapshots.connection;
    },
    get pipelines() {
      return snapshots.pipelines;
    },
    get vitals() {
      return snapshots.vitals;
    },
    getSnapshot: (pipeline) => snapshots.get(pipeline),
    getFile: (pipeline, file) => snapshots.file(pipeline, file),
    subscribe: (listener) => snapshots.subscribe(listener),
    onUpdate: (listener) => snapshots.watch(listener),
    follow: (pipelines) => follows.hold(checked(pipelines)),
    retry: () => driver.retry(),
    refreshToken: () => driver.refreshToken(),
    request: (path, signal) => driver.request(path, signal),
    connect: () => {
      if (state !== "new") return;
      state = "connected";
      driver.start();
      if (options.reports === false) return;
      const send = (status: Omit<ClientStatus, "client_id">): void => driver.report({ client_id: id, ...status });
      // Not needed for anything to be shown, so not part of what has to be loaded for that.
      void import("./reports.js").then(({ report }) => report(store, send), () => {});
    },
    close: () => {
      state = "closed";
      follows.clear();
      driver.stop();
      snapshots.flush();
    },
  };
  return store;
}

/**
 * Follows pipelines of a hub: by socket, and by polling while no socket can be had.
 *
 * ```ts
 * const store = connectPipelineStatus({ url: "http://127.0.0.1:8103", pipelines: ["docs"] });
 * const stop = store.subscribe(() => console.log(store.connection.state, store.getSnapshot("docs")?.counts));
 * ```
 *
 * Throws a `TypeError` for options that cannot be meant.
 */
export function connectPipelineStatus(options: ConnectOptions): PipelineStatusStore {
  const store = createPipelineStatusStore(options);
  // Not before the caller has had time to listen.
  queueMicrotask(store.connect);
  return store;
}
