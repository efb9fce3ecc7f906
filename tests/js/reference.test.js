// The reference application's namespaces: what its frontends get without a change of theirs.
import assert from "node:assert/strict";

import { everywhere, range } from "./support/clients.mjs";
import { file, fresh, openHub, startHub } from "./support/program.mjs";
import { until } from "./support/wait.mjs";

const hub = await startHub();

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const time = (value) => assert.match(value, TIME);
const number = (value) => assert.equal(typeof value, "number");
const text = (value) => assert.equal(typeof value, "string");
const bool = (value) => assert.equal(typeof value, "boolean");
const list = (value) => assert.ok(Array.isArray(value));
const optional = (check) => Object.assign((value) => value === undefined || check(value), { optional: true });
const nullable = (check) => optional((value) => value === null || check(value));
const is = (expected) => (value) => assert.equal(value, expected);

/** The value has these keys, each of its kind; what more there is does not matter to those who read it. */
function assertShape(value, shape, what) {
  assert.ok(value && typeof value === "object", `${what} is an object`);
  for (const [key, check] of Object.entries(shape)) {
    if (!check.optional) assert.ok(Object.hasOwn(value, key), `${what} has ${key}: ${JSON.stringify(value)}`);
    try {
      check(value[key]);
    } catch (error) {
      throw new Error(`${what}.${key}: ${error.message}`, { cause: error });
    }
  }
}

const FILE = { name: text, id: text, size: optional(number), mime_type: optional(text), started_at: optional(time), completed_at: optional(time) };
const filed = (value) => assertShape(value, FILE, "file");
/** The reference's status dict, and what its server adds. */
const STATUS = {
  pipeline_id: text,
  status: text,
  pipeline_type: text,
  last_check_time: nullable(time),
  next_check_time: nullable(time),
  files_processing: list,
  files_completed: list,
  files_failed: list,
  total_processed: number,
  total_failed: number,
  check_interval: number,
  is_checking: bool,
  started_at: time,
  last_activity: time,
  seconds_until_next_check: optional(number),
};
const SHAPES = {
  "pipeline:online": { pipeline_id: text, pipeline_type: text, status: is("online"), started_at: time, check_interval: number, watch_location: text },
  "pipeline:offline": { pipeline_id: text, pipeline_type: text, status: is("offline"), shutdown_at: time, reason: is("normal_shutdown") },
  "file:processing": { pipeline_id: text, file: filed, processing_stage: is("extraction"), estimated_duration: optional(number), timestamp: time },
  "file:progress": {
    pipeline_id: text,
    file: (value) => assertShape(value, { name: text, id: text }, "file"),
    processing_stage: is("embedding"),
    progress: (value) => assert.ok(value >= 0 && value <= 1),
    timestamp: time,
  },
  "file:completed": {
    pipeline_id: text,
    file: filed,
    results: (value) =>
      assertShape(value, { chunks_created: number, embeddings_generated: number, processing_duration: number, content_length: number }, "results"),
    success: is(true),
    timestamp: time,
  },
  "file:failed": {
    pipeline_id: text,
    file: filed,
    error: (value) => assertShape(value, { type: text, message: text, stage: is("chunking"), retryable: bool }, "error"),
    success: is(false),
    timestamp: time,
  },
  "status:update": {
    pipeline_id: text,
    timestamp: time,
    changes: (value) => assert.ok(value && typeof value === "object"),
    current_status: (value) => assertShape(value, STATUS, "current_status"),
  },
  heartbeat: { pipeline_id: text, timestamp: time, status: is("alive"), uptime: number, memory_usage: optional(number), active_files: number },
};

const PDF = { name: "good.pdf", id: "good" };
const reported = (id, type) => [
  {
    event: "pipeline:online",
    data: { pipeline_type: type, check_interval: 45, watch_location: "/srv/documents" },
  },
  { event: "status:update", data: { changes: { status: "running", is_checking: true, next_check_time: new Date(Date.now() + 45_000).toISOString() } } },
  file("file:processing", "good", { file: { ...PDF, size: 1234, mime_type: "application/pdf" }, processing_stage: "extraction" }),
  file("file:progress", "good", { file: PDF, processing_stage: "embedding", progress: 0.4 }),
  file("file:completed", "good", {
    file: PDF,
    results: { chunks_created: 12, embeddings_generated: 12, processing_duration: 1.5, content_length: 4096 },
  }),
  file("file:processing", "bad", { processing_stage: "extraction" }),
  file("file:failed", "bad", { error: { type: "ValueError", message: "no text", stage: "chunking", retryable: true } }),
  file("file:processing", "open", { processing_stage: "extraction" }),
];

for (const type of ["local_files", "google_drive"]) {
  everywhere(`/${type}: connecting is enough to get a snapshot of each pipeline, in the reference's shape`, async ({ connect }) => {
    const ids = [fresh("shape"), fresh("shape")];
    for (const id of ids) await hub.publish(id, reported(id, type));
    const bare = fresh("shape");
    await hub.open(bare, type);
    const socket = await connect(`${hub.url}/${type}`);
    for (const id of [...ids, bare]) {
      await socket.reach(id, 1);
      const [snapshot, ...more] = socket.snapshots(id);
      assert.equal(more.length, 0);
      assertShape(snapshot, STATUS, "pipeline:status");
    }
    const [snapshot] = socket.snapshots(ids[0]);
    assert.equal(snapshot.pipeline_type, type);
    assert.equal(snapshot.status, "running");
    assert.equal(snapshot.check_interval, 45);
    assert.equal(snapshot.is_checking, true);
    assert.equal(snapshot.total_processed, 1);
    assert.equal(snapshot.total_failed, 1);
    assert.ok(snapshot.seconds_until_next_check > 30 && snapshot.seconds_until_next_check <= 45);
    const names = (files) => files.map(({ name, id }) => [name, id]);
    assert.deepEqual(names(snapshot.files_processing), [["open.txt", "open"]]);
    assert.deepEqual(names(snapshot.files_completed), [["good.pdf", "good"]]);
    assert.deepEqual(names(snapshot.files_failed), [["bad.txt", "bad"]]);
    time(snapshot.files_processing[0].started_at);
    time(snapshot.files_completed[0].completed_at);
    time(snapshot.files_failed[0].completed_at);
    const [fallow] = socket.snapshots(bare);
    assert.deepEqual([fallow.check_interval, fallow.is_checking, fallow.files_processing], [60, false, []], "what the reference always has");
    for (const id of [...ids, bare]) await hub.forget(id);
  });

  everywhere(`/${type}: everything of this type comes without a subscribe, and nothing else`, async ({ connect }) => {
    const other = type === "local_files" ? "google_drive" : "local_files";
    const [id, foreign] = [fresh("flow"), fresh("flow")];
    const socket = await connect(`${hub.url}/${type}`);
    await socket.settle();
    await hub.publish(foreign, reported(foreign, other));
    await hub.publish(id, reported(id, type));
    const { seq } = await hub.publish(id, [file("file:completed", "open"), { event: "x:own", data: { any: 1 } }, { event: "pipeline:offline" }]);
    await socket.reach(id, seq);
    assert.deepEqual(socket.seqs(id), range(1, seq), "from the first event, in order");
    assert.deepEqual(socket.snapshots(id), []);
    assert.equal(socket.received.filter(({ data }) => data.pipeline_type !== type).length, 0);
    const seen = new Set();
    for (const { event, data } of socket.events(id)) {
      if (event === "x:own" || (event === "file:completed" && data.file.id === "open")) continue;
      seen.add(event);
      assertShape(data, SHAPES[event], event);
    }
    assert.deepEqual([...seen].sort(), Object.keys(SHAPES).filter((name) => name !== "heartbeat").sort());
    const update = socket.events(id).find(({ event }) => event === "status:update").data;
    assert.equal(update.current_status.is_checking, true, "the status after the change");
    assert.equal(update.current_status.pipeline_id, id);
    for (const gone of [id, foreign]) await hub.forget(gone);
  });

  everywhere(`/${type}: subscribing to its own type changes nothing and is acknowledged`, async ({ connect }) => {
    const [id, later] = [fresh("noop"), fresh("noop")];
    await hub.open(id, type);
    const socket = await connect(`${hub.url}/${type}`);
    await socket.reach(id, 1);
    const request = { pipeline_type: type, client_info: { user_agent: "Mozilla/5.0", timestamp: new Date().toISOString() } };
    const ack = await socket.call("subscribe", request);
    assert.equal(ack.error, undefined);
    assert.ok(ack.pipelines.some(({ pipeline_id }) => pipeline_id === id));
    await hub.open(later, type);
    await hub.publish(id, file("file:queued", "a"));
    await socket.reach(id, 2);
    await socket.reach(later, 1);
    const again = await socket.call("subscribe", { pipeline_type: type });
    assert.ok([id, later].every((known) => again.pipelines.some(({ pipeline_id }) => pipeline_id === known)), "later pipelines are named too");
    assert.equal(socket.snapshots(id).length, 1);
    assert.deepEqual([socket.seqs(id), socket.seqs(later)], [[2], [1]], "nothing comes twice");
    assert.equal(typeof (await socket.call("ping", Date.now())), "number");
    assert.deepEqual(await socket.call("client:status", { client_id: "c", status: "active", timestamp: new Date().toISOString() }), {});

    // A page that goes and comes back without a new connection.
    await socket.call("unsubscribe", { pipeline_type: type, client_info: request.client_info });
    await hub.publish(id, file("file:queued", "b"));
    await socket.settle();
    assert.deepEqual(socket.seqs(id), [2]);
    await socket.call("subscribe", request);
    await until(() => socket.snapshots(id).length === 2, "the snapshot of a subscription that was ended and made anew");
    await hub.publish(id, file("file:queued", "c"));
    await socket.reach(id, 4);
    assert.deepEqual(socket.seqs(id), [2, 4]);
    for (const known of [id, later]) await hub.forget(known);
  });
}

everywhere("of many files, the last ten completed and the last five failed are listed", async ({ connect }) => {
  const id = fresh("lists");
  await hub.open(id);
  const ended = (event, prefix) => range(1, 12).map((n) => file(event, `${prefix}${n}`));
  await hub.publish(id, [...ended("file:completed", "c"), ...ended("file:failed", "f")]);
  const socket = await connect(`${hub.url}/local_files`);
  await socket.reach(id, 1);
  const [snapshot] = socket.snapshots(id);
  assert.deepEqual(snapshot.files_completed.map(({ id }) => id), range(3, 12).map((n) => `c${n}`));
  assert.deepEqual(snapshot.files_failed.map(({ id }) => id), range(8, 12).map((n) => `f${n}`));
  assert.deepEqual([snapshot.total_processed, snapshot.total_failed], [12, 12]);
  await hub.forget(id);
}, { transports: ["websocket"] });

everywhere("a heartbeat tells that the hub is alive", async ({ connect }) => {
  const own = await connect(`${hub.url}/google_drive`);
  const id = fresh("beat");
  await hub.open(id, "google_drive");
  await hub.publish(id, file("file:processing", "a"));
  const native = await connect(hub.url);
  await native.call("subscribe", { pipeline_id: id });
  for (const socket of [own, native]) {
    const heartbeat = await socket.message("heartbeat", (data) => data.pipeline_id === id, 30);
    assertShape(heartbeat, SHAPES.heartbeat, "heartbeat");
    assert.deepEqual([heartbeat.active_files, heartbeat.seq, heartbeat.liveness], [1, 2, "live"]);
  }
}, { transports: ["websocket"] });

everywhere("a type of one's own has its namespace; one that has none is refused", async ({ connect, open }) => {
  const other = await openHub("--reference-type", "notion");
  try {
    await other.open("pages", "notion");
    const socket = await connect(`${other.url}/notion`);
    await socket.reach("pages", 1);
    assertShape(socket.snapshots("pages")[0], STATUS, "pipeline:status");
    const refused = open(`${other.url}/local_files`);
    await until(() => refused.refused, "the refusal");
    assert.match(refused.refused.message, /namespace/i);
  } finally {
    await other.program.stop();
  }
}, { transports: ["websocket"] });
