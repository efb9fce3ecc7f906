// Namespace `/ingest` of a live hub: reporters that publish over Socket.IO.
import assert from "node:assert/strict";

import { everywhere, range } from "./support/clients.mjs";
import { file, fresh, startHub } from "./support/program.mjs";

const hub = await startHub();
const online = (id) => ({ event: "pipeline:online", event_id: `${id}-online`, data: { pipeline_type: "local_files" } });
const idsOf = (events) => events.filter(({ event }) => event.startsWith("file:")).map(({ data }) => data.file.id);

everywhere("what is published is acknowledged, and reaches who has subscribed", async ({ connect }) => {
  const id = fresh("acked");
  const reporter = await connect(`${hub.url}/ingest`);
  const subscriber = await connect(hub.url);
  await subscriber.call("subscribe", { pipeline_id: id });
  const first = await reporter.call("publish", { pipeline_id: id, events: [online(id)] });
  assert.deepEqual({ ...first, epoch: "" }, { accepted: 1, duplicates: 0, conflated: 0, epoch: "", seq: 1 });
  assert.match(first.epoch, /^.{1,32}$/);
  const request = { pipeline_id: id, reporter_id: "worker-1", events: [file("file:processing", "a"), file("file:completed", "a")] };
  assert.deepEqual(await reporter.call("publish", request), { accepted: 2, duplicates: 0, conflated: 0, epoch: first.epoch, seq: 3 });
  const beat = await reporter.call("publish", { pipeline_id: id, events: [{ event: "heartbeat" }] });
  assert.deepEqual(beat, { accepted: 0, duplicates: 0, conflated: 1, epoch: first.epoch, seq: 3 });
  // One event without an array around it is taken as one.
  assert.equal((await reporter.call("publish", { pipeline_id: id, events: file("file:queued", "b") })).seq, 4);
  await subscriber.reach(id, 4);
  assert.deepEqual(subscriber.names(id), [[1, "pipeline:online"], [2, "file:processing"], [3, "file:completed"], [4, "file:queued"]]);
});

everywhere("200 publishes that do not wait for their answers are logged in the order they were sent", async ({ connect }) => {
  const id = fresh("order");
  const reporter = await connect(`${hub.url}/ingest`);
  await reporter.call("publish", { pipeline_id: id, events: [online(id)] });
  // As many at once as a socket may have waiting.
  const files = range(1, 200).map((n) => `f${n}`);
  const replies = [];
  for (let begin = 0; begin < files.length; begin += 50) {
    const some = files.slice(begin, begin + 50);
    replies.push(...(await Promise.all(some.map((name) => reporter.call("publish", { pipeline_id: id, events: [file("file:queued", name)] })))));
  }
  assert.deepEqual(replies.map(({ accepted, seq }) => [accepted, seq]), range(2, 201).map((seq) => [1, seq]));
  assert.deepEqual(idsOf(await hub.eventsAfter(id, { epoch: replies[0].epoch, seq: 0 })), files);
});

everywhere("more in flight than a socket may have: overloaded, in order, and nothing half taken", async ({ connect }) => {
  const id = fresh("flood");
  const reporter = await connect(`${hub.url}/ingest`);
  const { epoch } = await reporter.call("publish", { pipeline_id: id, events: [online(id)] });
  // Batches that take the hub a while, so that they pile up.
  const batches = range(1, 200).map((n) => range(1, 50).map((m) => file("file:queued", `f${n}-${m}`)));
  const replies = await Promise.all(batches.map((events) => reporter.call("publish", { pipeline_id: id, events })));
  const taken = batches.filter((_, index) => !replies[index].error);
  const refused = replies.filter(({ error }) => error);
  for (const { error } of refused) {
    assert.equal(error.code, "overloaded");
    assert.equal(error.retryable, true);
  }
  const expected = taken.flat().map(({ data }) => data.file.id);
  assert.deepEqual(idsOf(await hub.eventsAfter(id, { epoch, seq: 0 })), expected, "what was acknowledged, in the order it was sent");
  assert.ok(refused.length > 0, "the frames come faster than the log takes them");
});

everywhere("an event_id is taken once, whatever way it comes again", async ({ connect }) => {
  const id = fresh("twice");
  const reporter = await connect(`${hub.url}/ingest`);
  const events = [online(id), ...["file:queued", "file:processing", "file:completed"].map((name) => ({ ...file(name, "a"), event_id: name }))];
  assert.equal((await reporter.call("publish", { pipeline_id: id, events })).accepted, 4);
  const again = await connect(`${hub.url}/ingest`);
  const receipt = await again.call("publish", { pipeline_id: id, events: [...events, { ...file("file:queued", "b"), event_id: "b" }] });
  assert.deepEqual([receipt.accepted, receipt.duplicates, receipt.conflated, receipt.seq], [1, 4, 0, 5]);
  assert.equal((await hub.publish(id, events)).duplicates, 4, "over HTTP too");
  assert.equal((await hub.state(id)).total_processed, 1);
});

everywhere("a wrong batch is refused whole, with the index and the field", async ({ connect }) => {
  const id = fresh("wrong");
  await hub.open(id);
  const reporter = await connect(`${hub.url}/ingest`);
  const good = file("file:queued", "a");
  const cases = [
    [[good, { event: "file:done", data: {} }], "unknown_event", 1, "event"],
    [[good, good, file("file:progress", "a", { progress: 1.5 })], "invalid_event", 2, "data.progress"],
    [[file("file:progress", "a", { progress: "x" })], "invalid_event", 0, "data.progress"],
    [[good, { event: "file:queued", data: {} }], "invalid_event", 1, "data"],
    [[good, { event: "file:failed", data: { file: { name: "a" } } }], "invalid_event", 1],
    [[{ event: "file:queued", data: [{ name: "a" }] }], "invalid_event", 0],
    [[good, 7], "invalid_event", 1, "event"],
    [[good, null], "invalid_event", 1],
    [[good, [good]], "invalid_event", 1],
    [[file("file:queued", "a", { seq: 9 })], "reserved_field", 0],
    [[file("file:queued", "a", { epoch: "mine" })], "reserved_field", 0],
    [[file("file:queued", "a", { pipeline_id: "another" })], "pipeline_mismatch", 0],
    [[{ ...good, timestamp: "2026-01-31T09:30:00" }], "invalid_event", 0, "timestamp"],
    [[{ event: "status:update", data: { changes: { total_processed: 5 } } }], "reserved_field", 0],
    [[file("file:queued", "a", { padding: "x".repeat(70_000) })], null, 0],
  ];
  for (const [events, code, index, field] of cases) {
    const what = JSON.stringify(events).slice(0, 120);
    const { error } = await reporter.call("publish", { pipeline_id: id, events });
    assert.ok(error, what);
    if (code) assert.equal(error.code, code, `${what}: ${error.message}`);
    assert.equal(error.index, index, what);
    if (field) assert.match(error.field, new RegExp(`^${field}`), what);
    assert.equal(error.retryable, false, what);
  }
  for (const [request, code, field] of [
    [undefined, "invalid_request"],
    [null, "invalid_request"],
    ["text", "invalid_request"],
    [[id, [good]], "invalid_request"],
    [{ events: [good] }, "invalid_request", "pipeline_id"],
    [{ pipeline_id: 7, events: [good] }, "invalid_request"],
    [{ pipeline_id: "a b", events: [good] }, "invalid_name", "pipeline_id"],
    [{ pipeline_id: id, reporter_id: "a/b", events: [good] }, "invalid_name", "reporter_id"],
    [{ pipeline_id: id }, "invalid_request", "events"],
    [{ pipeline_id: id, events: "all" }, "invalid_request", "events"],
    [{ pipeline_id: fresh("unknown"), events: [good] }, "unknown_pipeline"],
    [{ pipeline_id: id, events: [{ event: "pipeline:online", data: { pipeline_type: "google_drive" } }] }, "type_conflict"],
    [{ pipeline_id: id, events: range(1, 5_001).map(() => ({ event: "heartbeat" })) }, "batch_too_large"],
    [{ pipeline_id: id, events: range(1, 30).map((n) => file("file:queued", `f${n}`, { padding: "x".repeat(40_000) })) }, "body_too_large"],
  ]) {
    const what = JSON.stringify(request)?.slice(0, 120);
    const reply = await (request === undefined ? reporter.call("publish") : reporter.call("publish", request));
    assert.equal(reply.error?.code, code, `${what}: ${JSON.stringify(reply)}`);
    if (field) assert.equal(reply.error.field, field, what);
  }
  assert.match((await reporter.call("publish", { pipeline_id: id, events: [{ event: "file:complete", data: {} }] })).error.message, /file:completed/);
  assert.match((await reporter.call("subscribe", { pipeline_id: id })).error.message, /publish/);
  assert.deepEqual(reporter.disconnects, []);
  assert.equal((await hub.state(id)).seq, 1, "nothing was half stored");
  assert.equal((await reporter.call("publish", { pipeline_id: id, events: [good] })).seq, 2);
});
