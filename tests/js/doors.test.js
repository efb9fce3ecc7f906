// Who comes in to a live hub, and how they leave: foreign pages and names, frames without measure, storms, the end.
import assert from "node:assert/strict";
import { request } from "node:http";
import { createConnection } from "node:net";
import { test } from "node:test";

import { everywhere, range } from "./support/clients.mjs";
import { file, fresh, openHub, startHub } from "./support/program.mjs";
import { until } from "./support/wait.mjs";

const hub = await startHub();

everywhere("a page of a foreign origin is refused", async ({ open }) => {
  for (const origin of ["https://evil.example", "null", `http://127.0.0.1.evil.example`]) {
    for (const namespace of ["/", "/local_files", "/ingest"]) {
      const socket = open(`${hub.url}${namespace}`, { extraHeaders: { origin } });
      await until(() => socket.refused, "the refusal");
      assert.equal(socket.io.connected, false);
      assert.match(`${socket.refused.message} ${socket.refused.description?.message ?? socket.refused.description ?? ""}`, /403|error/);
    }
  }
  // The hub's own page, and one of a developer's server.
  for (const origin of [hub.url, "http://localhost:3000"]) {
    const socket = await open(hub.url, { extraHeaders: { origin } }).connected();
    await socket.settle();
  }
}, { transports: ["websocket", "polling"] });

everywhere("an origin that is listed comes in, others stay out", async ({ open }) => {
  const own = await openHub("--cors-origin", "https://app.example");
  try {
    await (await open(own.url, { extraHeaders: { origin: "https://app.example" } }).connected()).settle();
    const socket = open(own.url, { extraHeaders: { origin: "https://app.example.evil" } });
    await until(() => socket.refused, "the refusal");
  } finally {
    await own.program.stop();
  }
}, { transports: ["websocket", "polling"] });

/** A plain request, with the headers that a browser would not let a page choose. */
const plainly = (path, headers, method = "GET") =>
  new Promise((resolve, reject) => {
    const ask = request(`${hub.url}${path}`, { method, headers }, (response) => {
      let text = "";
      response.on("data", (part) => (text += part)).on("end", () => resolve({ status: response.statusCode, text }));
    });
    ask.on("upgrade", (response, socket) => {
      socket.destroy();
      resolve({ status: response.statusCode, text: "" });
    });
    ask.on("error", reject).end();
  });
const UPGRADE = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
};

test("a foreign host or origin is refused on every way in, with its code", async () => {
  const ways = [
    ["/socket.io/?EIO=4&transport=polling", {}],
    ["/socket.io/?EIO=4&transport=websocket", UPGRADE],
    ["/api/rag-status", {}],
    ["/", {}],
  ];
  for (const [path, headers] of ways) {
    for (const [foreign, status, code] of [
      [{ host: "evil.example" }, 421, "foreign_host"],
      [{ host: "127.0.0.1.evil.example:80" }, 421, "foreign_host"],
      [{ origin: "https://evil.example" }, 403, "foreign_origin"],
      [{ origin: "null" }, 403, "foreign_origin"],
    ]) {
      const answer = await plainly(path, { ...headers, ...foreign });
      assert.equal(answer.status, status, `${path} ${JSON.stringify(foreign)}`);
      assert.equal(JSON.parse(answer.text).code, code);
    }
  }
  assert.equal((await plainly("/socket.io/?EIO=4&transport=websocket", UPGRADE)).status, 101, "without a foreign name the way is open");
});

everywhere("a frame far above the limit costs the connection that sent it, and no other", async ({ connect, open }) => {
  const id = fresh("giant");
  await hub.open(id);
  const bystander = await connect(hub.url);
  await bystander.call("subscribe", { pipeline_id: id });
  for (const namespace of ["/", "/ingest"]) {
    const giant = await open(`${hub.url}${namespace}`).connected();
    giant.io.emit(namespace === "/" ? "subscribe" : "publish", { pipeline_id: id, padding: "x".repeat(6_000_000) });
    await until(() => giant.disconnects.length > 0, "the cut");
  }
  await hub.publish(id, file("file:queued", "a"));
  await bystander.reach(id, 2);
  assert.deepEqual(bystander.disconnects, []);
});

test("bytes that are no packets end a connection at most", async () => {
  const packets = ["", "x", "4", "42", "42[", '42["subscribe"', "42[1,2]", "42{}", "4999999999999999999999", "451-[]", '45999999-["publish",{"_placeholder":true,"num":0}]', "41", "40/none,", "\u0000\uffff", '42["subscribe",' + "[".repeat(5_000)];
  for (const packet of packets) {
    const opened = await plainly("/socket.io/?EIO=4&transport=polling", {});
    const { sid } = JSON.parse(opened.text.slice(1));
    const post = (body) => fetch(`${hub.url}/socket.io/?EIO=4&transport=polling&sid=${sid}`, { method: "POST", body, headers: { "content-type": "text/plain" } });
    await (await post("40")).text();
    const answer = await post(packet);
    await answer.text();
    assert.ok(answer.status < 500, `${JSON.stringify(packet).slice(0, 40)}: ${answer.status}`);
    await (await post("1")).text();
  }
  assert.ok(hub.program.running);
  assert.equal((await hub.json("/health")).body, "OK");
});

everywhere("storms of sockets that come, speak and are torn away leave nothing behind", async ({ connect, open, transport }) => {
  const own = await openHub();
  try {
    await own.open("p");
    const watching = await connect(own.url);
    await watching.call("subscribe", { pipeline_id: "p" });
    let total = 1;
    for (let round = 0; round < 3; round += 1) {
      const sockets = await Promise.all(
        range(1, 50).map((n) => open(`${own.url}${n % 3 === 0 ? "/local_files" : "/"}`, { forceNew: true }).connected()),
      );
      sockets.forEach((socket, n) => socket.io.emit("subscribe", n % 2 ? { pipeline_id: "p" } : { pipeline_type: "local_files" }));
      await own.publish("p", range(1, 20).map((n) => file("file:queued", `r${round}-${n}`)));
      total += 20;
      if (round === 0) await until(async () => (await own.connections()) === 51, "every socket to be counted");
      for (const { io } of sockets) {
        // Cut, not said goodbye; with polling nobody can tell that from silence, so there it is said.
        const { ws } = io.io.engine.transport;
        if (ws && transport !== "polling") ws.terminate();
        else io.disconnect();
      }
    }
    await until(async () => (await own.connections()) === 1, async () => "one connection to be left");
    watching.end();
    await until(async () => (await own.connections()) === 0, "no connection to be left");
    await watching.reach("p", total);
    assert.deepEqual(watching.seqs("p"), range(2, total), "who stayed missed nothing");
  } finally {
    await own.program.stop();
  }
});

everywhere("a hub that is asked to stop says so, ends its sockets and exits in time", async ({ connect }) => {
  const own = await openHub();
  await own.open("p");
  const subscriber = await connect(own.url);
  await subscriber.call("subscribe", { pipeline_id: "p" });
  const fallow = await connect(own.url);
  const reference = await connect(`${own.url}/google_drive`);
  const reporter = await connect(`${own.url}/ingest`);
  // A peer that connects and then neither reads nor speaks, and a request that is held.
  const silent = createConnection({ port: Number(new URL(own.url).port), host: "127.0.0.1" });
  silent.on("error", () => {});
  silent.write("GET /api/pipelines/p/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
  silent.pause();
  const { epoch } = await own.state("p");
  const held = own.json(`/api/pipelines/p/events?epoch=${epoch}&seq=1&wait=30`);
  await until(async () => (await own.connections()) >= 5, "all to be connected");
  const stopped = own.program.stop("SIGTERM", 12);
  for (const socket of [subscriber, fallow, reference]) {
    const closing = await socket.message("hub:closing");
    assert.equal(typeof closing.retry_after_ms, "number");
    assert.ok(closing.retry_after_ms > 0);
  }
  const end = await stopped;
  assert.deepEqual([end.code, end.signal], [0, null]);
  assert.ok(end.took < 7_000, `it took ${end.took} ms; the deadline is 5 s`);
  assert.deepEqual((await held).body.events, []);
  for (const socket of [subscriber, fallow, reference, reporter]) {
    await until(() => socket.disconnects.length === 1, "the disconnect");
  }
  silent.destroy();
});
