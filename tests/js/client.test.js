// @ragpulse/client against a live hub: every event once and in order, by each transport, across restarts and changes.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { connectPipelineStatus, fetchInitialState, HubError, listFiles, listHistory } from "@ragpulse/client";
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
      await until(() => client.store.connection.state === "waiting", "its loss");
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

/** A store that remembers the ids it is told of, and how. */
function followAll(t, options) {
  const store = connectPipelineStatus(options);
  t.after(() => store.close());
  const told = [];
  store.onUpdate((update) => {
    if (update.kind !== "connection") told.push([update.kind, update.pipeline, update.event?.data.seq].filter((part) => part !== undefined).join(" "));
  });
  const settled = (check, what) => until(check, () => `${what}; there is ${JSON.stringify([store.connection, store.pipelines, told])}`, 40);
  return { store, told, settled };
}

for (const transport of ["auto", "polling"]) {
  test(`all pipelines, or all of a type, are followed, also later ones, and forgotten ones are dropped [${transport}]`, async (t) => {
    const hub = await openHub();
    t.after(() => hub.program.stop());
    const [first, later, other] = [fresh("first"), fresh("later"), fresh("other")];
    await hub.open(first, "docs");
    await hub.open(other, "mail");
    const all = followAll(t, { url: hub.url, transport });
    const docs = followAll(t, { url: hub.url, transport, pipelines: { type: "docs" } });
    await all.settled(() => all.store.pipelines.length === 2 && all.store.getSnapshot(other), "both");
    await docs.settled(() => docs.store.getSnapshot(first), "the one of the type");
    await hub.open(later, "docs");
    await queued(hub, later, 1, 3);
    for (const client of [all, docs]) await client.settled(() => client.store.getSnapshot(later)?.seq === 4, "the later one");
    assert.deepEqual(docs.store.pipelines, [first, later].sort());
    const response = await fetch(`${hub.url}/api/pipelines/${first}`, { method: "DELETE" });
    assert.ok(response.ok, String(response.status));
    for (const client of [all, docs]) await client.settled(() => !client.store.pipelines.includes(first), "one less");
    assert.ok(docs.told.every((one) => !one.includes(other)), String(docs.told));
  });
}

test("a state to begin with is gone on from: no snapshot, and no event twice", async (t) => {
  const hub = await startHub();
  const pipeline = fresh("docs");
  await hub.open(pipeline);
  await queued(hub, pipeline, 1, 5);
  const initial = JSON.parse(JSON.stringify(await fetchInitialState({ url: hub.url, pipelines: [pipeline, fresh("never")] })));
  assert.deepEqual(initial.map(({ pipeline_id, seq }) => [pipeline_id, seq]), [[pipeline, 6]]);
  await queued(hub, pipeline, 6, 9);
  for (const transport of ["auto", "polling"]) {
    const client = follow(t, { url: hub.url, pipelines: [pipeline], initial, transport });
    assert.equal(client.state().seq, 6, "at once");
    await client.reach(10);
    assert.deepEqual([client.seqs(), client.snapshots()], [range(7, 10), []]);
    assert.deepEqual(client.state(), await hub.state(pipeline));
  }
});

test("what is asked for later is followed until it is let go", async (t) => {
  const hub = await startHub();
  const [one, two] = [fresh("one"), fresh("two")];
  await hub.open(one);
  await hub.open(two);
  for (const transport of ["auto", "polling"]) {
    const client = followAll(t, { url: hub.url, pipelines: [], transport });
    const release = client.store.follow([one]);
    const keep = client.store.follow([two]);
    await client.settled(() => client.store.getSnapshot(one) && client.store.getSnapshot(two), "both");
    release();
    await client.settled(() => client.store.pipelines.length === 1, "one let go");
    assert.deepEqual([client.store.pipelines, client.store.getSnapshot(one)], [[two], null]);
    const { seq } = await hub.state(two);
    await hub.publish(one, file("file:queued", "unheard"));
    await queued(hub, two, 1, 2);
    await client.settled(() => client.store.getSnapshot(two).seq === seq + 2, "the other goes on");
    assert.ok(!client.told.includes(`event ${one} 2`), String(client.told));
    keep();
  }
});

test("more of a pipeline is asked for by page, with what the hub says where it says no", async (t) => {
  const hub = await startHub();
  const pipeline = fresh("docs");
  await hub.open(pipeline);
  await queued(hub, pipeline, 1, 7);
  const { store } = followAll(t, { url: hub.url, pipelines: [pipeline] });
  const page = await listFiles(store, pipeline, { limit: 5, state: "queued" });
  assert.equal(page.files.length, 5);
  const rest = await listFiles(store, pipeline, { after: page.next_after });
  assert.deepEqual([...page.files, ...rest.files].map(({ id }) => id), range(1, 7).map((n) => `f${n}`));
  const history = await listHistory(store, pipeline, { event: "file:queued" });
  assert.equal(history.events.length, 7);
  await assert.rejects(listFiles(store, fresh("never")), (error) => error instanceof HubError && error.code === "unknown_pipeline");
});

test("how it fares is told to the hub, by socket and by poll", async (t) => {
  const hub = await openHub();
  t.after(() => hub.program.stop());
  const pipeline = fresh("docs");
  await hub.open(pipeline);
  const sent = [];
  const asked = [];
  const open = (url, options) => {
    const socket = io(url, options);
    socket.onAnyOutgoing((event, payload) => sent.push([event, payload]));
    return socket;
  };
  const spy = (url, init) => (asked.push([new URL(url).pathname, init.headers["RagPulse-Client-Status"]]), fetch(url, init));
  follow(t, { url: hub.url, pipelines: [pipeline], io: open, clientId: "by-socket" });
  await until(() => sent.some(([event]) => event === "client:status"), () => `a report; there is ${JSON.stringify(sent)}`);
  const [, report] = sent.find(([event]) => event === "client:status");
  assert.deepEqual([report.client_id, report.transport, report.status], ["by-socket", "websocket", "active"]);
  const polling = follow(t, { url: hub.url, pipelines: [pipeline], transport: "polling", fetch: spy, clientId: "by-poll" });
  await polling.connected("polling");
  await queued(hub, pipeline, 1, 2);
  await until(() => asked.some(([, told]) => told), () => `a report with a poll; there is ${JSON.stringify(asked)}`);
  const told = JSON.parse(asked.find(([, header]) => header)[1]);
  assert.deepEqual([told.client_id, told.transport, told.fallback_cause], ["by-poll", "polling", "chosen"]);
  const silent = follow(t, { url: hub.url, pipelines: [pipeline], io: open, clientId: "silent", reports: false });
  await silent.connected("websocket");
  assert.ok(!sent.some(([, payload]) => payload?.client_id === "silent"));
});

test("a socket that goes silent is left for polls in under ten seconds", async (t) => {
  const hub = await startHub();
  const pipeline = fresh("docs");
  await hub.open(pipeline);
  // Sockets go through a door that can be held: nothing passes, and nothing is closed.
  const target = new URL(hub.url);
  const pairs = new Set();
  const door = createServer((near) => {
    const far = connect(Number(target.port), target.hostname);
    pairs.add(near).add(far);
    near.pipe(far).pipe(near);
    for (const end of [near, far]) end.on("error", () => {});
  });
  await new Promise((resolve) => door.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    for (const end of pairs) end.destroy();
    door.close();
  });
  const held = `http://127.0.0.1:${door.address().port}`;
  const client = follow(t, { url: hub.url, pipelines: [pipeline], io: (_, options) => io(held, options) });
  await client.connected("websocket");
  await client.reach(1);
  for (const end of pairs) end.unpipe().pause();
  const since = performance.now();
  await queued(hub, pipeline, 1, 5);
  await client.reach(6);
  const took = performance.now() - since;
  t.diagnostic(`data by polling ${Math.round(took)} ms after the socket went silent`);
  assert.ok(took < 10_000, `${took} ms`);
  assert.deepEqual([client.seqs(), client.store.connection.cause.kind], [range(2, 6), "silence"]);
});
