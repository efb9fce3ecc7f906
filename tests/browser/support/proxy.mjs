// A proxy before a hub, by real sockets, that does to WebSockets what networks do: lets them pass, refuses them, goes
// silent without closing, cuts them. HTTP passes, unless the whole way is down, or a token is wanted at its door.
//
// What may come in: any HTTP/1.1. What it never does: understand Socket.IO, or drop or change a byte that it has let pass.
import { createServer, request } from "node:http";
import { connect } from "node:net";
import { after } from "node:test";

const HEAD_END = "\r\n\r\n";

/** One WebSocket on its way through. */
class Tunnel {
  constructor(client, hub) {
    this.client = client;
    this.hub = hub;
  }

  flow() {
    this.client.pipe(this.hub).pipe(this.client);
  }

  /** Nothing passes any more, in neither direction; both ends stay open. */
  stall() {
    for (const [from, to] of [[this.client, this.hub], [this.hub, this.client]]) {
      from.unpipe(to);
      from.pause();
    }
  }

  /** By RST, so that neither end takes it for a goodbye. */
  cut() {
    for (const socket of [this.client, this.hub]) socket.resetAndDestroy();
  }
}

/** A proxy; see its methods for what it can be told. It begins by letting everything pass. */
export class Proxy {
  /** The path of each HTTP request, but for those by which a browser asks whether it may make one. */
  requests = [];
  /** What clients said of themselves in the header of a poll. */
  reports = [];
  /** How many WebSockets were refused, and how many were let in. */
  refused = 0;
  accepted = 0;
  /** Changes the JSON of `GET /api/socket/info` on its way. */
  info = null;
  /**
   * The token without which `/api` answers 401 as a hub with keys does, or null. What a socket says inside it is not
   * understood here: refuse sockets, or let them pass.
   */
  token = null;
  /** How many requests were answered by 401. */
  unauthorized = 0;
  #upgrades = "pass";
  #status = 403;
  #down = false;
  #tunnels = new Set();
  #held = new Set();
  #connections = new Set();

  constructor(target) {
    this.target = new URL(target);
    this.server = createServer((incoming, outgoing) => this.#forward(incoming, outgoing));
    this.server.on("connection", (socket) => {
      if (this.#down) return socket.resetAndDestroy();
      this.#connections.add(socket);
      socket.on("close", () => this.#connections.delete(socket));
    });
    this.server.on("upgrade", (incoming, socket, head) => this.#upgrade(incoming, socket, head));
  }

  get url() {
    return `http://127.0.0.1:${this.server.address().port}`;
  }

  /** How many WebSockets are open. */
  get open() {
    return this.#tunnels.size;
  }

  /** Everything passes again. What was stalled goes on where it stopped; what was held at its door is sent away. */
  allow() {
    this.#upgrades = "pass";
    this.#down = false;
    for (const tunnel of this.#tunnels) tunnel.flow();
    for (const socket of this.#held) socket.destroy();
  }

  /** No WebSocket is let in any more; those that are open are cut. */
  refuse({ status = 403 } = {}) {
    this.#upgrades = "refuse";
    this.#status = status;
    this.cut();
  }

  /**
   * WebSockets go silent, those that are open too, and nobody closes them. A new one gets no answer at all, or with
   * `handshake` it is let in and then hears nothing.
   */
  stall({ handshake = false } = {}) {
    this.#upgrades = handshake ? "mute" : "hold";
    for (const tunnel of this.#tunnels) tunnel.stall();
  }

  /** Cuts every WebSocket; new ones are still let in. */
  cut() {
    for (const tunnel of [...this.#tunnels]) tunnel.cut();
    for (const socket of this.#held) socket.resetAndDestroy();
  }

  /** The whole way is gone, for HTTP too. */
  down() {
    this.#down = true;
    this.cut();
    for (const socket of this.#connections) socket.resetAndDestroy();
  }

  #forward(incoming, outgoing) {
    const { hostname, port } = this.target;
    const { url: path, method, headers } = incoming;
    if (method !== "OPTIONS") this.requests.push(path);
    if (this.token !== null && path.startsWith("/api/") && method !== "OPTIONS" && headers.authorization !== `Bearer ${this.token}`) {
      this.unauthorized += 1;
      const problem = { type: "about:blank", title: "Unauthorized", status: 401, code: "unauthorized", detail: "This hub wants a token." };
      outgoing.writeHead(401, { "content-type": "application/problem+json", "www-authenticate": "Bearer" }).end(JSON.stringify(problem));
      return;
    }
    const report = headers["ragpulse-client-status"];
    if (report) this.reports.push(JSON.parse(report));
    const rewrite = path === "/api/socket/info" && this.info;
    // What is to be read here must not come compressed.
    if (rewrite) delete headers["accept-encoding"];
    const forward = request({ hostname, port, path, method, headers }, (answer) => {
      if (!rewrite || answer.statusCode !== 200) {
        outgoing.writeHead(answer.statusCode, answer.headers);
        answer.pipe(outgoing);
        return;
      }
      const chunks = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("end", () => {
        const body = JSON.stringify(rewrite(JSON.parse(Buffer.concat(chunks).toString())));
        outgoing.writeHead(200, { ...answer.headers, "content-length": Buffer.byteLength(body) });
        outgoing.end(body);
      });
    });
    forward.on("error", () => outgoing.destroy());
    outgoing.on("close", () => forward.destroy());
    incoming.pipe(forward);
  }

  #upgrade(incoming, client, head) {
    client.on("error", () => {});
    if (this.#upgrades === "refuse") {
      this.refused += 1;
      client.end(`HTTP/1.1 ${this.#status} Refused\r\nContent-Length: 0\r\nConnection: close${HEAD_END}`);
      return;
    }
    if (this.#upgrades === "hold") {
      this.#held.add(client);
      client.on("close", () => this.#held.delete(client));
      return;
    }
    const hub = connect({ host: this.target.hostname, port: Number(this.target.port) }, () => {
      const headers = [];
      for (let i = 0; i < incoming.rawHeaders.length; i += 2) headers.push(`${incoming.rawHeaders[i]}: ${incoming.rawHeaders[i + 1]}`);
      hub.write(`${incoming.method} ${incoming.url} HTTP/1.1\r\n${headers.join("\r\n")}${HEAD_END}`);
      hub.write(head);
      if (this.#upgrades !== "mute") return tunnel.flow();
      hub.once("data", (bytes) => {
        hub.pause();
        const end = bytes.indexOf(HEAD_END) + HEAD_END.length;
        hub.unshift(bytes.subarray(end));
        client.write(bytes.subarray(0, end));
      });
    });
    this.accepted += 1;
    const tunnel = new Tunnel(client, hub);
    this.#tunnels.add(tunnel);
    const close = () => {
      this.#tunnels.delete(tunnel);
      hub.destroy();
      client.destroy();
    };
    hub.on("error", close).on("close", close);
    client.on("error", close).on("close", close);
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
    this.cut();
  }
}

/** A proxy for the tests of one file, ended with them. */
export async function startProxy(target) {
  const proxy = new Proxy(target);
  await new Promise((resolve) => proxy.server.listen(0, "127.0.0.1", resolve));
  after(() => proxy.close());
  return proxy;
}
