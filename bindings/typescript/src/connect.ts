// The way in: follows pipelines and gives the store of their states.
//
// What may come in: the options, checked here. What it never does: throw later than at once: what goes wrong on the way
// is told by the store's connection.
import { Driver } from "./driver.js";
import { Endpoint, type TokenSource } from "./endpoint.js";
import type { PipelineId } from "./generated/index.js";
import { type Fetch, Http } from "./http.js";
import { Machine } from "./machine.js";
import { partOf } from "./machine/guide.js";
import type { TransportChoice } from "./machine/io.js";
import { installed, type OpenSocket } from "./socketio.js";
import { type PipelineStatusStore, Snapshots } from "./store.js";

/** How pipelines are to be followed. */
export interface ConnectOptions {
  /** The hub's address, such as `http://127.0.0.1:8103`; in a browser it may be relative to the page. */
  readonly url: string | URL;
  /** The ids of the pipelines, at least one. One that the hub does not know is followed from its first event. */
  readonly pipelines: readonly PipelineId[];
  /** By what to connect. Default: `auto`. */
  readonly transport?: TransportChoice;
  /** A token, or what gives one before each socket and each request. It never travels in an address. */
  readonly token?: TokenSource;
  /** A stable name of this client, by which a hub rolls sockets out to a part of all. Default: a new one each time. */
  readonly clientId?: string;
  /** `io` of socket.io-client. Default: the one that is installed, loaded when it is needed. */
  readonly io?: OpenSocket;
  /** Stands for the global `fetch`. */
  readonly fetch?: Fetch;
}

const PIPELINE_ID = /^[A-Za-z0-9._-]{1,128}$/;

/**
 * Follows pipelines of a hub: by socket, and by long polling while no socket can be had.
 *
 * ```ts
 * const store = connectPipelineStatus({ url: "http://127.0.0.1:8103", pipelines: ["docs"] });
 * const stop = store.subscribe(() => console.log(store.connection.state, store.getSnapshot("docs")?.counts));
 * ```
 *
 * Throws a `TypeError` for options that cannot be meant.
 */
export function connectPipelineStatus(options: ConnectOptions): PipelineStatusStore {
  const { url, token, io } = options;
  const pipelines = [...new Set(options.pipelines)];
  if (pipelines.length === 0) throw new TypeError("`pipelines` names no pipeline; give at least one id");
  for (const id of pipelines) {
    if (!PIPELINE_ID.test(id)) throw new TypeError(`"${id}" is no id of a pipeline: 1 to 128 of A-Z a-z 0-9 . _ -`);
  }
  const endpoint = new Endpoint(url, token);
  const machine = new Machine({
    pipelines,
    transport: options.transport ?? "auto",
    part: partOf(options.clientId ?? String(Math.random())),
    chance: Math.random,
    userAgent: "@ragpulse/client",
  });
  const fetch: Fetch = options.fetch ?? ((address, init) => globalThis.fetch(address, init));
  const snapshots = new Snapshots((pipeline) => machine.state(pipeline));
  const driver = new Driver({
    machine,
    endpoint,
    http: new Http(endpoint, fetch),
    library: io ? () => Promise.resolve(io) : installed,
    onUpdate: (update) => snapshots.take(update),
  });
  let closed = false;
  // Not before the caller has had time to listen.
  queueMicrotask(() => {
    if (!closed) driver.start();
  });
  return {
    get connection() {
      return snapshots.connection;
    },
    getSnapshot: (pipeline) => snapshots.get(pipeline),
    subscribe: (listener) => snapshots.subscribe(listener),
    onUpdate: (listener) => snapshots.watch(listener),
    close: () => {
      closed = true;
      driver.stop();
      snapshots.flush();
    },
  };
}
