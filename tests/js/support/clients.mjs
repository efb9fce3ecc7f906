// The official clients, the newest and an old one, by each transport.
import { createRequire } from "node:module";
import { test } from "node:test";

import { io as newest } from "socket.io-client";
import { io as old } from "socket.io-client-old";

import { until, within } from "./wait.mjs";

const version = (name) => createRequire(import.meta.url)(`${name}/package.json`).version;

const CLIENTS = [
  [version("socket.io-client"), newest],
  [version("socket.io-client-old"), old],
];
const TRANSPORTS = {
  websocket: { transports: ["websocket"] },
  // What a client does that is told nothing: polling, then the upgrade.
  upgrade: {},
  polling: { transports: ["polling"] },
};

/** A test for each client and transport. `body(peer)` gets what opens sockets. */
export function everywhere(name, body, { transports = Object.keys(TRANSPORTS) } = {}) {
  for (const [client, io] of CLIENTS) {
    for (const transport of transports) {
      test(`${name} [${client}, ${transport}]`, { timeout: 90_000 }, async () => {
        const sockets = [];
        const open = (url, options = {}) => {
          const socket = new Socket(io(url, { ...TRANSPORTS[transport], forceNew: true, reconnection: false, ...options }));
          sockets.push(socket);
          return socket;
        };
        try {
          await body({ open, client, transport, connect: (...args) => open(...args).connected() });
        } finally {
          for (const socket of sockets) socket.end();
        }
      });
    }
  }
}

/** A socket that remembers what came, in order. */
export class Socket {
  /** `{event, data}` of everything that came. */
  received = [];
  /** Reasons of its disconnects. */
  disconnects = [];
  refused = null;

  constructor(io) {
    this.io = io;
    io.onAny((event, data) => this.received.push({ event, data }));
    io.on("disconnect", (reason) => this.disconnects.push(reason));
    io.on("connect_error", (error) => (this.refused = error));
  }

  async connected() {
    await until(
      () => {
        if (this.refused && !this.io.connected) throw this.refused;
        return this.io.connected;
      },
      "the connection",
    );
    return this;
  }

  /** Sends a command and gives its acknowledgement. */
  call(event, ...args) {
    return within(new Promise((resolve) => this.io.emit(event, ...args, resolve)), `the answer to ${event}`);
  }

  /** The events of a pipeline that are part of its sequence. */
  events(pipeline) {
    return this.received.filter(({ event, data }) => event !== "pipeline:status" && event !== "heartbeat" && data?.pipeline_id === pipeline);
  }

  /** `[seq, event]` of each. */
  names(pipeline) {
    return this.events(pipeline).map(({ event, data }) => [data.seq, event]);
  }

  seqs(pipeline) {
    return this.events(pipeline).map(({ data }) => data.seq);
  }

  snapshots(pipeline) {
    return this.received.filter(({ event, data }) => event === "pipeline:status" && data.pipeline_id === pipeline).map(({ data }) => data);
  }

  /** Waits until this sequence number of a pipeline has come, by an event or a snapshot. */
  reach(pipeline, seq) {
    const at = () => {
      let last = 0;
      for (const { event, data } of this.received) {
        if (event !== "heartbeat" && data?.pipeline_id === pipeline && data.seq > last) last = data.seq;
      }
      return last;
    };
    return until(() => at() >= seq, () => `seq ${seq} of ${pipeline}; there is ${at()}`);
  }

  /** Waits for a message, and gives its payload. */
  async message(name, accept = () => true, seconds = 20) {
    let found;
    await until(
      () => (found = this.received.find(({ event, data }) => event === name && accept(data))),
      () => `${name}; there is ${this.received.map(({ event }) => event).join(", ").slice(-300)}`,
      seconds,
    );
    return found.data;
  }

  /** One round trip: what the hub sent before it has arrived. */
  async settle() {
    await this.call("ping", Date.now());
  }

  end() {
    this.io.disconnect();
  }
}

/** The numbers from `first` to `last`. */
export const range = (first, last) => Array.from({ length: last - first + 1 }, (_, index) => first + index);
