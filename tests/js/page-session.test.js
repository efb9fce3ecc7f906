// Invariants 2 and 7 on the wire: the session that the page and @ragpulse/client fold by, fed by an official client, ends
// with the state the hub has.
import assert from "node:assert/strict";

import { Session, toStatus } from "@ragpulse/client/session";
import { everywhere, range } from "./support/clients.mjs";
import { file, fresh, startHub } from "./support/program.mjs";
import { until } from "./support/wait.mjs";

const hub = await startHub();
const plain = (value) => JSON.parse(JSON.stringify(value));

/** 2,000 events of 320 files that go every way a file can go. */
function story() {
  const events = [];
  const end = ["file:completed", "file:failed", "file:skipped", "file:cancelled"];
  for (let n = 0; n < 320; n += 1) {
    const id = `f${n}`;
    events.push(file("file:queued", id, { queue_position: n }), file("file:processing", id, { processing_stage: "extraction" }));
    if (n % 4 === 0) {
      events.push(file("file:failed", id, { error: { message: "busy", type: "RateLimited", retryable: true } }));
      events.push(file("file:retrying", id, { attempt: 2, max_attempts: 3 }), file("file:processing", id, { attempt: 2 }));
    }
    events.push(file("file:progress", id, { progress: (n % 10) / 10, processing_stage: "embedding", current: n, total: 320, unit: "chunks" }));
    if (n % 7 !== 0) events.push(file(end[n % 4], id, n % 4 === 0 ? { results: { chunks_created: n }, warnings: ["w"] } : {}));
    if (n % 7 === 1) events.push(file(end[(n + 1) % 4], id));
    if (n % 11 === 0) events.push(file("file:deleted", id));
    if (n % 13 === 0) events.push({ event: "status:update", data: { changes: { is_checking: n % 2 === 0, [`own_${n % 5}`]: { n } } } });
    if (n % 17 === 0) events.push({ event: "x:note", data: { n } });
  }
  for (let n = 0; events.length < 2_000; n += 1) events.push(file(n % 2 ? "file:completed" : "file:processing", `g${n >> 1}`));
  return events.slice(0, 2_000);
}

everywhere("a live session ends with the hub's own state, whatever the connection does", async ({ open, transport }) => {
  const id = fresh("story");
  await hub.open(id);
  const session = new Session();
  let socket;
  let resyncs = 0;
  let cuts = 0;
  const listen = async () => {
    socket = open(hub.url);
    const { io } = socket;
    const subscribe = () => {
      const cursors = session.cursor ? { [id]: session.cursor } : {};
      io.emit("subscribe", { pipeline_id: id, cursors }, (reply) => {
        assert.equal(reply.error, undefined);
        session.resynced();
      });
    };
    io.onAny((event, data) => {
      if (data?.pipeline_id !== id || io !== socket.io) return;
      if (session.handle({ event, data }).verdict === "resync") {
        resyncs += 1;
        subscribe();
      }
    });
    await socket.connected();
    subscribe();
  };
  await listen();
  const events = story();
  for (let begin = 0; begin < events.length; begin += 40) {
    await hub.publish(id, events.slice(begin, begin + 40));
    if (begin % 600 === 400) {
      // Cut in the middle: what is on its way is lost, and the cursor finds it again.
      cuts += 1;
      socket.end();
      session.resynced();
      await listen();
    }
  }
  const [head, seqs] = [(await hub.state(id)).seq, () => session.state?.seq];
  await until(() => seqs() >= head, () => `seq ${head}; there is ${seqs()}`);
  // Progress that was held back may still come.
  const same = async () => {
    const theirs = await hub.state(id);
    return theirs.seq === session.state.seq && theirs;
  };
  const theirs = await until(same, "the session to be at the head");
  assert.deepStrictEqual(plain(toStatus(session.state)), theirs);
  assert.equal(cuts, 3);
  assert.equal(resyncs, 0, `nothing had to be asked for again by ${transport}`);
  assert.ok(head > 1_600);
});

everywhere("and with batches of thousands, faster than a socket takes them", async ({ connect }) => {
  const id = fresh("burst");
  await hub.open(id);
  const session = new Session();
  const socket = await connect(hub.url);
  const verdicts = new Map();
  socket.io.onAny((event, data) => {
    if (data?.pipeline_id !== id) return;
    const { verdict } = session.handle({ event, data });
    if (event !== "heartbeat") verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
  });
  await socket.call("subscribe", { pipeline_id: id });
  const count = 5_000;
  await hub.publish(id, range(1, count).map((n) => file("file:queued", `f${n}`)));
  await hub.publish(id, range(1, count).map((n) => file("file:skipped", `f${n}`)));
  await until(() => session.state?.seq === count * 2 + 1, () => `the end; there is ${session.state?.seq}`, 60);
  assert.deepStrictEqual(plain(toStatus(session.state)), await hub.state(id));
  assert.deepEqual([...verdicts].sort(), [["apply", count * 2], ["replace", 1]], "one snapshot at the beginning, and every event");
});
