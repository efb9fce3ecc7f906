// @ragpulse/client in a page, against a live hub: what is reported shows up, in order, once.
import assert from "node:assert/strict";
import { test } from "node:test";

import { range } from "../js/support/clients.mjs";
import { file, fresh, startHub } from "../js/support/program.mjs";
import { startBrowser } from "./support/browser.mjs";
import { follow, startHarness } from "./support/harness.mjs";

const hub = await startHub();
const browser = await startBrowser();
const harness = await startHarness();

const stages = ["extraction", "chunking", "embedding", "storing"];
const life = (id, end) => [
  file("file:queued", id, { queue_position: 1 }),
  file("file:processing", id, { processing_stage: stages[0] }),
  file(end, id),
];

for (const transport of ["auto", "websocket", "polling"]) {
  test(`what is reported shows up in order, once, and gives the hub's own state [${transport}]`, { timeout: 120_000 }, async (t) => {
    const pipeline = fresh("live");
    const { seq: first } = await hub.open(pipeline);
    const page = await follow(t, browser, harness, { url: hub.url, pipelines: [pipeline], transport });
    await page.connected(transport === "polling" ? "polling" : "websocket");
    await page.reach(first);
    let seq;
    for (const n of range(1, 20)) {
      ({ seq } = await hub.publish(pipeline, life(`f${n}`, n % 4 ? "file:completed" : "file:failed")));
      if (n % 5 === 0) await page.reach(seq);
    }
    ({ seq } = await hub.publish(pipeline, range(21, 320).map((n) => file("file:queued", `f${n}`))));
    const log = await page.assertExact(hub, seq);
    assert.deepEqual(log.filter(({ kind, anomalies }) => kind === "event" && anomalies > 0), [], "nothing in them was out of place");
    assert.deepEqual(await page.connection(), transport === "polling" ? { state: "polling", cause: { kind: "chosen" } } : { state: "websocket", cause: null });
    const notified = await page.page.evaluate(() => globalThis.harness.notified);
    assert.ok(notified > 0 && notified < log.length, `${notified} notifications of ${log.length} updates`);
  });
}

test("progress runs through every stage, and the last of it is the last that was reported", { timeout: 120_000 }, async (t) => {
  const pipeline = fresh("progress");
  await hub.open(pipeline);
  const page = await follow(t, browser, harness, { url: hub.url, pipelines: [pipeline], list: pipeline });
  await page.reach(1);
  await hub.publish(pipeline, file("file:processing", "a"));
  for (const stage of stages) {
    const events = range(1, 25).map((n) => file("file:progress", "a", { processing_stage: stage, progress: n / 25, current: n, total: 25, unit: "chunks" }));
    for (const event of events) await hub.publish(pipeline, event);
    await page.until(
      (stage) => document.querySelector(".row i")?.textContent === `100.0 % ${stage}`,
      stage,
      `the row to say that ${stage} is done`,
    );
  }
  const { seq } = await hub.publish(pipeline, file("file:completed", "a", { results: { chunks_created: 25 } }));
  const log = await page.assertExact(hub, seq);
  const progress = log.filter(({ event }) => event === "file:progress").length;
  assert.ok(progress >= stages.length * 2, `${progress} reports of progress: the first and the last of each stage at least`);
});

test("several pipelines in one page: each has its own order, and one that comes later is seen from its first event", { timeout: 120_000 }, async (t) => {
  const pipelines = range(1, 6).map(() => fresh("many"));
  for (const pipeline of pipelines.slice(0, 5)) await hub.open(pipeline);
  for (const transport of ["websocket", "polling"]) {
    const stood = new Map();
    for (const pipeline of pipelines) stood.set(pipeline, (await hub.state(pipeline))?.seq ?? 0);
    const page = await follow(t, browser, harness, { url: hub.url, pipelines, transport });
    for (const pipeline of pipelines.slice(0, 5)) await page.reach(1, { pipeline });
    // The last one is new to the hub the first time.
    const late = pipelines[5];
    await hub.open(late);
    for (const n of range(1, 10)) {
      for (const pipeline of pipelines) await hub.publish(pipeline, file("file:queued", `f${n}-${transport}`));
    }
    for (const pipeline of pipelines) {
      await page.assertExact(hub, (await hub.state(pipeline)).seq, { pipeline, from: stood.get(pipeline) });
    }
  }
});
