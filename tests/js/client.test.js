// @ragpulse/client against a live hub: every event once and in order, by each transport, across restarts and changes.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { connectPipelineStatus } from "@ragpulse/client";
import { io } from "socket.io-client";

import { range } from "./support/clients.mjs";
import { file, fresh, openHub, startHub } from "./support/program.mjs";
import { until } from "./support/wait.mjs";

/** A store that remembers what it was told, ended with the test. */
function follow(t, options) {
  const store = connectPipelineStatus(options);
  t.after(() => store.close());
  const updates = [];
  const states = [];
  store.onUpdate((update) => {
    updates.push(update);
    if (update.kind === "connection") states.push(update.status.state);
  });
  const [pipeline] = options.pipelines;
  return {
    store,
    updates,
    states,
    seqs: () => updates.filter(({ kind }) => kind === "event").map(({ event }) => event.data.seq),
    snapshots: () => updates.filter(({ kind }) => kind === "snapshot"),
    state: () => store.getSnapshot(pipeline),
    reach: (seq) => until(() => (store.getSnapshot(pipeline)?.seq ?? 0) >= seq, () => `seq ${seq}; there is ${JSON.stringify([store.connection, store.getSnapshot(pipeline)?.seq])}`, 40),
    connected: (state) => until(() => store.connection.state === state, () => `${state}; there is ${JSON.stringify(store.connection)}`, 40),
  };
}

const queued = (hub, pipeline, from, to) => hub.publish(pipeline, range(from, to).map((n) => file("file:queued", `f${n}`)));

for (const transport of ["auto", "websocket", "polling"]) {
  test(`events come once, in order, and give the hub's own state [${transport}]`, async (t) => {
    const hub = await startHub();
    const pipeline = fresh("docs");
    const client = follow(t, { url: hub.url, pipelines: [pipeline], transport });
    await client.connected(transport === "polling" ? "polling" : "websocket");
    assert.equal(client.state(), null);
    await hub.open(pipeline);
    for (let n = 1; n <= 20; n += 1) {
      await hub.publish(pipeline, file("file:processing", `f${n}`), file(n % 3 ? "file:completed" : "file:failed", `f${n}`));
    }
    await hub.publish(pipeline, { event: "x:mine", data: { seen: [1, 2] } }, { event: "status:update", data: { changes: { model: "m1" } } });
    await client.reach(43);
    // Over polling the first answer may be a snapshot, which stands for the first events.
    const first = client.snapshots().length > 0 ? client.seqs()[0] : 1;
    assert.deepEqual(client.seqs(), range(first, 43));
    assert.ok(client.snapshots().length <= (transport === "polling" ? 1 : 0));
    assert.deepEqual(client.state(), await hub.state(pipeline));
    assert.equal(client.state().model, "m1");
    assert.deepEqual(client.updates.find(({ event }) => event?.event === "x:mine").event.data.seen, [1, 2]);
    assert.equal(client.store.connection.cause?.kind, transport === "polling" ? "chosen" : undefined);
  });

  test(`a hub that is killed and comes back leaves no hole and no repeat [${transport}]`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "ragpulse-client-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const store = ["--store", `sqlite:${join(folder, "log.db")}`];
    let hub = await openHub(...store);
    t.after(() => hub.program.stop());
    const pipeline = fresh("docs");
    await hub.open(pipeline);
    const client = follow(t, { url: hub.url, pipelines: [pipeline], transport });
    await client.reach(1);
    await queued(hub, pipeline, 1, 50);
    await client.reach(51);
    for (const signal of ["SIGKILL", "SIGTERM"]) {
      await hub.program.stop(signal);
      hub = await openHub("--listen", new URL(hub.url).host, ...store);
      const { seq } = await hub.state(pipeline);
      await queued(hub, pipeline, seq, seq + 49);
      await client.reach(seq + 50);
    }
    const seqs = client.seqs();
    assert.deepEqual(seqs, range(2, seqs.at(-1)), "every event after the first snapshot, once");
    assert.equal(client.snapshots().length, 1);
    assert.deepEqual(client.state(), await hub.state(pipeline));
    assert.ok(client.states.includes("waiting"), `its loss was told: ${client.states}`);
  });
}

test("a hub that forgot gives its whole state and the reason", async (t) => {
  let hub = await openHub();
  t.after(() => hub.program.stop());
  const pipeline = fresh("docs");
  await hub.open(pipeline);
  await queued(hub, pipeline, 1, 5);
  const client = follow(t, { url: hub.url, pipelines: [pipeline] });
  await client.reach(6);
  const { epoch } = client.state();
  await hub.program.stop("SIGKILL");
  hub = await openHub("--listen", new URL(hub.url).host);
  await hub.open(pipeline);
  await until(() => client.state() && client.state().epoch !== epoch, "the new epoch");
  assert.deepEqual(client.state(), await hub.state(pipeline));
  const last = client.updates.findLast(({ kind }) => kind === "snapshot" || kind === "reset" || kind === "event");
  // It came back before or after the pipeline did.
  assert.ok(last.kind === "event" ? last.event.data.seq === 1 : last.reason === "epoch_changed", JSON.stringify(last));
});

test("without a socket it polls, and it returns to the socket when there is one; neither costs an event", async (t) => {
  const hub = await startHub();
  const pipeline = fresh("docs");
  await hub.open(pipeline);
  let blocked = true;
  const sockets = [];
  const open = (url, options) => {
    const socket = io(blocked ? "http://127.0.0.1:1" : url, options);
    sockets.push(socket);
    return socket;
  };
  const client = follow(t, { url: hub.url, pipelines: [pipeline], io: open });
  await client.connected("polling");
  assert.equal(client.store.connection.cause.kind, "failed");
  await queued(hub, pipeline, 1, 10);
  await client.reach(11);
  blocked = false;
  await client.connected("websocket");
  await queued(hub, pipeline, 11, 20);
  await client.reach(21);
  blocked = true;
  sockets.at(-1).io.engine.close();
  await client.connected("polling");
  await queued(hub, pipeline, 21, 30);
  await client.reach(31);
  assert.deepEqual(client.seqs(), range(2, 31));
  assert.equal(client.snapshots().length, 1);
});

test("listeners are told once a turn, snapshots stay as they were, and closing leaves nothing open", async (t) => {
  const hub = await startHub();
  const pipelines = range(1, 6).map(() => fresh("docs"));
  for (const pipeline of pipelines) await hub.open(pipeline);
  for (const transport of ["websocket", "polling"]) {
    const client = follow(t, { url: hub.url, pipelines, transport });
    let told = 0;
    const stop = client.store.subscribe(() => (told += 1));
    await until(() => pipelines.every((pipeline) => client.store.getSnapshot(pipeline)), "all snapshots");
    const before = client.state();
    const copy = structuredClone(before);
    assert.equal(client.state(), before, "the same object while nothing changes");
    told = 0;
    const { seq } = await queued(hub, pipelines[0], 1, 500);
    await client.reach(seq);
    assert.ok(told > 0 && told < 250, `${told} notifications of 500 events`);
    assert.deepEqual(before, copy);
    stop();
    client.store.close();
    assert.deepEqual(client.store.connection, { state: "closed", cause: { kind: "closed" } });
    assert.equal(client.state().seq, seq, "what was known stays readable");
    client.store.close();
    await until(async () => (await hub.connections()) === 0, "no connection");
  }
});

test("what cannot be meant is said at once, and a stranger's address by the connection", async (t) => {
  for (const bad of [
    { url: "nowhere", pipelines: ["p"] }, { url: "ftp://127.0.0.1/", pipelines: ["p"] }, { url: "http://u:p@127.0.0.1/", pipelines: ["p"] },
    { url: "http://127.0.0.1/?token=t", pipelines: ["p"] }, { url: "http://127.0.0.1", pipelines: ["a b"] },
  ]) assert.throws(() => connectPipelineStatus(bad), TypeError, JSON.stringify(bad));
  const client = follow(t, { url: "http://127.0.0.1:1", pipelines: ["p"] });
  await client.connected("waiting");
  assert.equal(client.store.connection.cause.kind, "failed");
});
