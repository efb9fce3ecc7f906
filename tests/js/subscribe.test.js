// Namespace `/` of a live hub: subscribe, resume, unsubscribe, and what wrong input gets.
import assert from "node:assert/strict";

import { everywhere, range } from "./support/clients.mjs";
import { file, fresh, startHub } from "./support/program.mjs";
import { until } from "./support/wait.mjs";

const hub = await startHub();

const assertOrder = (socket, pipeline, first, last) => assert.deepEqual(socket.seqs(pipeline), range(first, last));

everywhere("by pipeline_id: acknowledged, a snapshot, then every event in order", async ({ connect }) => {
  const id = fresh("one");
  await hub.publish(id, [{ event: "pipeline:online", data: { pipeline_type: "local_files", check_interval: 30 } }, file("file:queued", "a")]);
  const socket = await connect(hub.url);
  const ack = await socket.call("subscribe", { pipeline_id: id, client_info: { user_agent: "test", timestamp: new Date().toISOString() } });
  assert.deepEqual(ack, { pipelines: [{ pipeline_id: id, recovered: false, replayed: 0 }] });
  const steps = ["file:processing", "file:progress", "file:completed"];
  for (const step of steps) await hub.publish(id, file(step, "a"));
  await socket.reach(id, 5);
  const [snapshot, ...more] = socket.snapshots(id);
  assert.equal(more.length, 0);
  assert.equal(socket.received[0].event, "pipeline:status", "the snapshot comes before any event");
  assert.equal(snapshot.seq, 2);
  assert.equal(snapshot.liveness, "live");
  assert.equal(snapshot.check_interval, 30);
  assert.equal(snapshot.counts.queued, 1);
  assert.deepEqual(snapshot.files.map(({ id, state }) => [id, state]), [["a", "queued"]]);
  assert.deepEqual(socket.names(id), steps.map((step, index) => [index + 3, step]));
  for (const { data } of socket.events(id)) {
    assert.equal(data.epoch, snapshot.epoch);
    assert.equal(data.pipeline_type, "local_files");
    assert.match(data.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.match(data.received_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  }
});

everywhere("by pipeline_ids: each has its snapshot, and nothing comes of others", async ({ connect }) => {
  const [a, b, other] = [fresh("several"), fresh("several"), fresh("several")];
  for (const id of [a, b, other]) await hub.open(id);
  const socket = await connect(hub.url);
  const ack = await socket.call("subscribe", { pipeline_ids: [b, a] });
  assert.deepEqual(ack.pipelines.map(({ pipeline_id }) => pipeline_id).sort(), [a, b].sort());
  for (const id of [other, a, b]) await hub.publish(id, file("file:queued", "x"));
  await socket.reach(a, 2);
  await socket.reach(b, 2);
  await socket.settle();
  for (const id of [a, b]) {
    assert.equal(socket.snapshots(id).length, 1);
    assertOrder(socket, id, 2, 2);
  }
  assert.equal(socket.received.filter(({ data }) => data.pipeline_id === other).length, 0);
});

everywhere("by pipeline_type: those there are and those to come", async ({ connect }) => {
  const type = fresh("kind");
  const [now, later, foreign] = [fresh("typed"), fresh("typed"), fresh("typed")];
  await hub.open(now, type);
  const socket = await connect(hub.url);
  const ack = await socket.call("subscribe", { pipeline_type: type });
  assert.deepEqual(ack, { pipelines: [{ pipeline_id: now, recovered: false, replayed: 0 }] });
  await hub.open(foreign, "another");
  await hub.publish(later, [{ event: "pipeline:online", data: { pipeline_type: type } }, file("file:queued", "a")]);
  await hub.publish(now, file("file:queued", "a"));
  await socket.reach(later, 2);
  await socket.reach(now, 2);
  await socket.settle();
  assert.equal(socket.snapshots(now).length, 1);
  assert.deepEqual(socket.snapshots(later), [], "a later pipeline is told from its first event");
  assert.deepEqual(socket.names(later), [[1, "pipeline:online"], [2, "file:queued"]]);
  assert.equal(socket.received.filter(({ data }) => data.pipeline_id === foreign).length, 0);
});

everywhere("subscribed in the middle of a stream: no hole, no repeat, no swap", async ({ open }) => {
  const id = fresh("stream");
  await hub.open(id);
  const count = 400;
  const reporting = (async () => {
    for (let i = 0; i < count; i += 8) await hub.publish(id, range(i, i + 7).map((n) => file("file:queued", `f${n}`)));
  })();
  await until(async () => (await hub.state(id)).seq > 40, "the stream to run");
  // Speaks as soon as it may: with the upgrade this is while the transport changes.
  const socket = open(hub.url);
  socket.io.emit("subscribe", { pipeline_id: id });
  await reporting;
  await socket.reach(id, count + 1);
  const [snapshot, ...more] = socket.snapshots(id);
  assert.equal(more.length, 0);
  assertOrder(socket, id, snapshot.seq + 1, count + 1);
});

everywhere("resumes by cursor: replayed exactly, then live", async ({ connect }) => {
  const id = fresh("resume");
  const cursor = await hub.open(id);
  const first = await connect(hub.url);
  await first.call("subscribe", { pipeline_id: id });
  await hub.publish(id, range(1, 5).map((n) => file("file:queued", `f${n}`)));
  await first.reach(id, 6);
  first.end();
  await hub.publish(id, range(6, 105).map((n) => file("file:queued", `f${n}`)));
  const second = await connect(hub.url);
  const ack = await second.call("subscribe", { pipeline_id: id, cursors: { [id]: { epoch: cursor.epoch, seq: 6 } } });
  assert.deepEqual(ack, { pipelines: [{ pipeline_id: id, recovered: true, replayed: 100 }] });
  await hub.publish(id, file("file:processing", "f1"));
  await second.reach(id, 107);
  assert.deepEqual([...first.seqs(id), ...second.seqs(id)], range(2, 107), "what came before and after the cut is the sequence");
  assert.deepEqual(second.snapshots(id), [], "a replay that can be had is not replaced by a snapshot");

  const third = await connect(hub.url);
  const none = await third.call("subscribe", { pipeline_ids: [id], cursors: { [id]: { epoch: cursor.epoch, seq: 107 } } });
  assert.deepEqual(none, { pipelines: [{ pipeline_id: id, recovered: true, replayed: 0 }] });
  await hub.publish(id, file("file:completed", "f1"));
  await third.reach(id, 108);
  assertOrder(third, id, 108, 108);
  assert.deepEqual(third.snapshots(id), []);
});

everywhere("a cursor of another epoch, ahead, or of a pipeline that is gone gets a reason", async ({ connect }) => {
  const [id, gone] = [fresh("reasons"), fresh("reasons")];
  const { epoch } = await hub.open(id);
  const lost = await hub.open(gone);
  await hub.forget(gone);
  for (const [cursor, reason] of [
    [{ epoch: "other", seq: 1 }, "epoch_changed"],
    [{ epoch, seq: 7 }, "ahead"],
  ]) {
    const socket = await connect(hub.url);
    const ack = await socket.call("subscribe", { pipeline_id: id, cursors: { [id]: cursor } });
    assert.deepEqual(ack, { pipelines: [{ pipeline_id: id, recovered: false, replayed: 0, reason }] });
    await socket.settle();
    assert.deepEqual(socket.snapshots(id).map((snapshot) => [snapshot.reason, snapshot.seq]), [[reason, 1]]);
    assert.deepEqual(socket.events(id), []);
  }
  const socket = await connect(hub.url);
  const ack = await socket.call("subscribe", { pipeline_id: gone, cursors: { [gone]: lost } });
  assert.deepEqual(ack, { pipelines: [{ pipeline_id: gone, recovered: false, replayed: 0, reason: "unknown_pipeline" }] });
  const next = await hub.open(gone);
  assert.notEqual(next.epoch, lost.epoch);
  await socket.reach(gone, 1);
  assert.deepEqual(socket.names(gone), [[1, "pipeline:online"]]);
});

everywhere("an id that is not known yet is held, and its events come from seq 1", async ({ connect }) => {
  const id = fresh("held");
  const socket = await connect(hub.url);
  const ack = await socket.call("subscribe", { pipeline_id: id });
  assert.deepEqual(ack, { pipelines: [{ pipeline_id: id, recovered: true, replayed: 0 }] });
  assert.equal(socket.received.length, 0);
  await hub.open(id);
  await hub.publish(id, [file("file:queued", "a"), file("file:processing", "a")]);
  await socket.reach(id, 3);
  assertOrder(socket, id, 1, 3);
  assert.deepEqual(socket.snapshots(id), []);
});

everywhere("subscribed again: one subscription, with the state anew", async ({ connect }) => {
  const id = fresh("again");
  await hub.open(id);
  const socket = await connect(hub.url);
  for (let i = 0; i < 3; i += 1) await socket.call("subscribe", { pipeline_id: id });
  await hub.publish(id, range(1, 20).map((n) => file("file:queued", `f${n}`)));
  await socket.reach(id, 21);
  await socket.settle();
  assertOrder(socket, id, 2, 21);
  const snapshots = socket.snapshots(id);
  assert.equal(snapshots.length, 3);
  const ack = await socket.call("subscribe", { pipeline_id: id, cursors: { [id]: { epoch: snapshots[0].epoch, seq: 11 } } });
  assert.deepEqual(ack.pipelines[0], { pipeline_id: id, recovered: true, replayed: 10 });
  await until(() => socket.seqs(id).length === 30, "the replay");
  assert.deepEqual(socket.seqs(id).slice(20), range(12, 21));
});

everywhere("unsubscribed: nothing more comes of it, and the others go on", async ({ connect }) => {
  const type = fresh("kind");
  const [a, b] = [fresh("ends"), fresh("ends")];
  await hub.open(a, type);
  await hub.open(b, type);
  const socket = await connect(hub.url);
  await socket.call("subscribe", { pipeline_ids: [a, b] });
  assert.deepEqual(await socket.call("unsubscribe", { pipeline_id: a }), { pipelines: [a] });
  assert.deepEqual(await socket.call("unsubscribe", { pipeline_id: a }), { pipelines: [] }, "not a second time");
  for (const id of [a, b]) await hub.publish(id, file("file:queued", "x"));
  await socket.reach(b, 2);
  await socket.settle();
  assert.deepEqual(socket.events(a), []);

  await socket.call("subscribe", { pipeline_type: type });
  assert.deepEqual((await socket.call("unsubscribe", { pipeline_type: type })).pipelines.sort(), [a, b].sort());
  await hub.publish(b, file("file:queued", "y"));
  const later = fresh("ends");
  await hub.open(later, type);
  await socket.settle();
  assertOrder(socket, b, 2, 2);
  assert.deepEqual(socket.events(later), []);

  await socket.call("subscribe", { pipeline_ids: [a, b] });
  assert.deepEqual((await socket.call("unsubscribe", {})).pipelines.sort(), [a, b].sort(), "without a field: all");
  const before = socket.received.length;
  for (const id of [a, b]) await hub.publish(id, file("file:queued", "z"));
  await socket.settle();
  assert.equal(socket.received.length, before);
});

everywhere("ping, client:status and an unknown command are answered", async ({ connect }) => {
  const socket = await connect(hub.url);
  const time = await socket.call("ping", Date.now());
  assert.equal(typeof time, "number");
  assert.ok(Math.abs(time - Date.now()) < 60_000, `${time} is the hub's time in ms`);
  const status = { client_id: "c1", status: "idle", timestamp: new Date().toISOString() };
  assert.deepEqual(await socket.call("client:status", status), {});
  assert.deepEqual(await socket.call("client:status", { ...status, latency_ms: 4.5, of_its_own: [1] }), {});
  for (const name of ["pipeline:command", "publish", "nonsense", "file:completed"]) {
    const { error } = await socket.call(name, {});
    assert.equal(error.code, "invalid_request");
    assert.equal(error.retryable, false);
    assert.match(error.message, new RegExp(name));
  }
  assert.match((await socket.call("x".repeat(5_000))).error.message, /^.{60,120}$/, "a long name is not sent back whole");
  // Without an acknowledgement none is sent, and nothing breaks.
  socket.io.emit("nonsense");
  socket.io.emit("ping");
  socket.io.emit("subscribe", 7);
  await socket.settle();
  assert.equal(socket.received.length, 0);
});

everywhere("wrong input gets a stable code, and the connection lives", async ({ connect }) => {
  const id = fresh("good");
  await hub.open(id);
  const socket = await connect(hub.url);
  const cases = [
    ["subscribe", [], "invalid_request"],
    ["subscribe", [null], "invalid_request"],
    ["subscribe", [{}], "invalid_request"],
    ["subscribe", ["a string"], "invalid_request"],
    ["subscribe", [7], "invalid_request"],
    ["subscribe", [true], "invalid_request"],
    ["subscribe", [[id]], "invalid_request"],
    ["subscribe", [{ pipeline_id: 7 }], "invalid_request", "pipeline_id"],
    ["subscribe", [{ pipeline_id: "" }], "invalid_request", "pipeline_id"],
    ["subscribe", [{ pipeline_id: "a/b" }], "invalid_request", "pipeline_id"],
    ["subscribe", [{ pipeline_id: "x".repeat(129) }], "invalid_request", "pipeline_id"],
    ["subscribe", [{ pipeline_ids: id }], "invalid_request", "pipeline_ids"],
    ["subscribe", [{ pipeline_ids: [id, {}] }], "invalid_request", "pipeline_ids[1]"],
    ["subscribe", [{ pipeline_type: "no spaces" }], "invalid_request", "pipeline_type"],
    ["subscribe", [{ pipeline_id: id, cursors: { [id]: { epoch: "e", seq: -1 } } }], "invalid_request", `cursors.${id}.seq`],
    ["subscribe", [{ pipeline_id: id, cursors: { [id]: { epoch: 1, seq: 1 } } }], "invalid_request", `cursors.${id}.epoch`],
    ["subscribe", [{ pipeline_id: id, cursors: 1 }], "invalid_request", "cursors"],
    ["subscribe", [{ pipeline_id: id, client_info: 1 }], "invalid_request", "client_info"],
    ["subscribe", [{ pipeline_id: id, padding: "x".repeat(1_200_000) }], "body_too_large"],
    ["unsubscribe", ["all"], "invalid_request"],
    ["unsubscribe", [{ pipeline_ids: 1 }], "invalid_request", "pipeline_ids"],
    ["client:status", [], "invalid_request"],
    ["client:status", [null], "invalid_request"],
    ["client:status", [{ client_id: "c" }], "invalid_request"],
    ["client:status", [{ client_id: 1, status: "idle" }], "invalid_request", "client_id"],
    ["auth:refresh", [null], "invalid_request"],
    ["auth:refresh", [{ token: 1 }], "invalid_request", "token"],
  ];
  for (const [command, args, code, field] of cases) {
    const what = `${command} ${JSON.stringify(args).slice(0, 80)}`;
    const reply = await socket.call(command, ...args);
    assert.ok(reply?.error, `${what}: ${JSON.stringify(reply)}`);
    assert.equal(reply.error.code, code, what);
    assert.equal(reply.error.retryable, false, what);
    assert.ok(reply.error.message.length > 10, what);
    if (field) assert.equal(reply.error.field, field, what);
  }
  // Bytes where JSON should be.
  assert.equal((await socket.call("subscribe", Buffer.from("{}"))).error.code, "invalid_request");
  assert.ok(socket.io.connected);
  assert.deepEqual(socket.disconnects, []);
  assert.equal(socket.received.length, 0, "nothing was subscribed");
  assert.deepEqual(await socket.call("subscribe", { pipeline_id: id }), { pipelines: [{ pipeline_id: id, recovered: false, replayed: 0 }] });
});
