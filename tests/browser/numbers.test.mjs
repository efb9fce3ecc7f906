// The numbers that the project promises for a page, measured: from a report to the screen, the first state, and a flood.
//
// A bound is asserted on the best of three tries. Where the machine was busy with other things in each of them, which
// support/quiet.mjs finds out by something else than what is measured, a bound ten times as wide is, and that is printed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { range } from "../js/support/clients.mjs";
import { file, fresh, startHub } from "../js/support/program.mjs";
import { startBrowser } from "./support/browser.mjs";
import { follow, measured, now, percentile, startHarness, watchFrames } from "./support/harness.mjs";
import { startProxy } from "./support/proxy.mjs";
import { measure } from "./support/quiet.mjs";

const PAINT_MS = 100;
const LONG_MS = 50;
const FILES = 1_000;
const PER_SECOND = 50;
const SECONDS = 20;
const FLOOD = 59_000;

const hub = await startHub();
const browser = await startBrowser();
const harness = await startHarness();

/** Opens a pipeline with files, of which most wait and some are processed. */
async function opened(files, processing) {
  const pipeline = fresh("numbers");
  await hub.open(pipeline);
  let seq = 0;
  const ids = range(1, files).map((n) => `f${n}`);
  for (let at = 0; at < ids.length; at += 500) {
    ({ seq } = await hub.publish(pipeline, ids.slice(at, at + 500).map((id) => file("file:queued", id))));
  }
  if (processing > 0) ({ seq } = await hub.publish(pipeline, ids.slice(0, processing).map((id) => file("file:processing", id))));
  return { pipeline, ids, seq };
}

test(`publish to paint at ${PER_SECOND} events/s with ${FILES} files listed: p99 under ${PAINT_MS} ms`, { timeout: 400_000 }, async (t) => {
  const { result: { p99 }, wasBusy } = await measure(async (n) => {
    const { pipeline, ids, seq } = await opened(FILES, 200);
    const page = await follow(t, browser, harness, { url: hub.url, pipelines: [pipeline], list: pipeline });
    await page.connected("websocket");
    await page.reach(seq);
    await page.until((files) => globalThis.harness.view.rows === files, FILES, "every file to be listed");
    // One event a request, at its time, whether the one before was answered or not: a queue would hide what is slow.
    const began = now();
    const requests = [];
    let sent = 0;
    while (sent < PER_SECOND * SECONDS) {
      const due = began + (sent * 1000) / PER_SECOND;
      if (now() < due) await pause(Math.max(1, due - now()));
      // A file's own turn comes every four seconds, so nothing of it is conflated.
      const id = ids[sent % 200];
      const event = file("file:progress", id, { progress: (sent % 1000) / 1000, processing_stage: "embedding", sent_at: now() });
      requests.push(hub.publish(pipeline, event));
      sent += 1;
    }
    await Promise.all(requests);
    const rate = sent / ((now() - began) / 1000);
    await page.until((count) => globalThis.harness.view.painted.length >= count, sent, "every event to be painted");
    const painted = await page.page.evaluate(() => globalThis.harness.view.painted.map(({ ms }) => ms));
    const long = await page.page.evaluate((began) => globalThis.harness.long.filter(({ at }) => at > began).map(({ duration }) => duration), began);
    assert.equal(painted.length, sent, "each was painted once");
    const [p50, p99] = [percentile(painted, 0.5), percentile(painted, 0.99)];
    measured(
      `publish to paint, try ${n}: p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, longest ${Math.max(...painted).toFixed(1)} ms; ` +
      `${sent} events at ${rate.toFixed(1)} a second, ${FILES} files listed, ${long.length} tasks over ${LONG_MS} ms`,
    );
    await page.page.close();
    return { p99 };
  }, ({ p99 }) => p99 < PAINT_MS);
  assert.ok(p99 < (wasBusy ? 10 : 1) * PAINT_MS, `${p99} ms`);
});

test("the first state is on the screen one round trip after the socket is open", { timeout: 120_000 }, async (t) => {
  const { pipeline } = await opened(FILES, 0);
  let log;
  const page = await follow(t, browser, harness, { url: hub.url, pipelines: [pipeline], list: pipeline }, async (page) => (log = await watchFrames(page)));
  await page.until(() => globalThis.harness.view?.first, null, "the first state to be painted");
  await page.connected("websocket");
  const { frames } = log;
  const index = (way, pattern) => frames.findIndex((frame) => frame.way === way && pattern.test(frame.data));
  const connected = index("received", /^40/);
  const asked = index("sent", /^42\d*\["subscribe"/);
  const state = index("received", /^42\["pipeline:status"/);
  assert.ok(connected >= 0 && asked >= 0 && state >= 0, JSON.stringify(frames.map(({ way, data }) => [way, data.slice(0, 40)])));
  const between = frames.slice(connected + 1, state);
  assert.equal(between[0], frames[asked], "the first thing that is said is the subscription");
  // Its acknowledgement may come before the state, or a ping of the hub; nothing else is waited for.
  assert.deepEqual(between.filter(({ way, data }) => way === "received" && !/^(43|2$)/.test(data)), [], "the state is the answer to it");
  const { opened: began, first } = await page.page.evaluate(() => ({ opened: globalThis.harness.opened, first: globalThis.harness.view.first }));
  const at = (n) => frames[n].at;
  const handshake = frames.find(({ way }) => way === "open").at;
  measured(`first state: 1 round trip after Socket.IO has let the page in (subscribe, state), 2 after the WebSocket is open (connect, subscribe)`);
  measured(
    `first state with ${FILES} files: ${(at(state) - at(connected)).toFixed(1)} ms after the socket is open, ` +
    `${(at(state) - handshake).toFixed(1)} ms after the WebSocket is; ${(first - began).toFixed(0)} ms from the call to the screen, with the advice and the library loaded`,
  );
});

function assertUnblocked(long, wasBusy) {
  if (wasBusy) assert.ok(Math.max(0, ...long) < 10 * LONG_MS, `${long}`);
  else assert.deepEqual(long, []);
}

/** What blocked the page since a time. */
const longTasks = (page, began) =>
  page.page.evaluate((began) => globalThis.harness.long.filter(({ at }) => at >= began).map(({ duration }) => Math.round(duration)), began);

test(`${FLOOD} progress events of one file through the hub: nothing blocks over ${LONG_MS} ms, and the last state is exact`, { timeout: 400_000 }, async (t) => {
  const { result: { long }, wasBusy } = await measure(async (n) => {
    const { pipeline, seq } = await opened(FILES, 1);
    const page = await follow(t, browser, harness, { url: hub.url, pipelines: [pipeline], list: pipeline });
    await page.connected("websocket");
    await page.reach(seq);
    await page.until((files) => globalThis.harness.view.rows === files, FILES, "every file to be listed");
    const began = now();
    let answer = { conflated: 0 };
    let conflated = 0;
    for (let at = 0; at < FLOOD; at += 1_000) {
      const events = range(at + 1, at + 1_000).map((n) => file("file:progress", "f1", { progress: n / FLOOD, current: n, total: FLOOD, unit: "chunks", processing_stage: "embedding" }));
      answer = await hub.publish(pipeline, events);
      conflated += answer.conflated;
    }
    await page.until(
      ([pipeline, current]) => globalThis.harness.store.getSnapshot(pipeline).files.find(({ id }) => id === "f1").current === current,
      [pipeline, FLOOD],
      "the last progress",
    );
    const took = now() - began;
    await page.assertExact(hub, (await hub.state(pipeline)).seq, { from: seq });
    const shown = await page.page.evaluate(() => [...document.querySelectorAll(".row")].find((row) => row.firstChild.textContent === "f1.txt").lastChild.textContent);
    assert.equal(shown, "100.0 % embedding");
    const long = await longTasks(page, began);
    const events = (await page.log()).filter(({ event }) => event === "file:progress").length;
    measured(`${FLOOD} progress events through the hub, try ${n}: ${events} reached the page (the hub held or replaced ${conflated}) in ${(took / 1000).toFixed(1)} s; tasks over ${LONG_MS} ms: ${long.length} (${long})`);
    await page.page.close();
    return { long };
  }, ({ long }) => long.length === 0);
  assertUnblocked(long, wasBusy);
});

test(`${FLOOD} progress events of one file folded unconflated in the store: nothing blocks over ${LONG_MS} ms, and the last state is exact`, { timeout: 400_000 }, async (t) => {
  const { result: { long }, wasBusy } = await measure(async (n) => {
    const page = await follow(t, browser, harness, { url: hub.url, fed: true, list: "fed" });
    await page.connected("websocket");
    const began = now();
    const seq = await page.page.evaluate((count) => globalThis.harness.source.progress(count), FLOOD);
    const took = now() - began;
    await page.until((seq) => globalThis.harness.reached("fed") === seq, seq, "the last state");
    const { files, counts } = await page.snapshot("fed");
    assert.equal(files.length, 1);
    const [{ progress, current, total, processing_stage: stage }] = files;
    assert.deepEqual({ progress, current, total, stage }, { progress: 1, current: FLOOD, total: FLOOD, stage: "embedding" });
    assert.equal(counts.processing, 1);
    const odd = await page.page.evaluate(() => globalThis.harness.log.filter(({ kind }) => kind === "event").findIndex(({ seq }, n) => seq !== n + 1));
    assert.equal(odd, -1, "every event once, in order");
    const long = await longTasks(page, began);
    const notified = await page.page.evaluate(() => globalThis.harness.notified);
    measured(
      `${FLOOD} progress events folded in the store, try ${n}: ${(took / 1000).toFixed(2)} s, ${((took / FLOOD) * 1000).toFixed(1)} us each with their tasks, ` +
      `${notified} notifications; tasks over ${LONG_MS} ms: ${long.length} (${long})`,
    );
    await page.page.close();
    return { long };
  }, ({ long }) => long.length === 0);
  assertUnblocked(long, wasBusy);
});

test("a page that comes back after 10,000 events folds them without being blocked", { timeout: 400_000 }, async (t) => {
  const { result: { long }, wasBusy } = await measure(async (n) => {
    const { pipeline, seq } = await opened(FILES, 0);
    const proxy = await startProxy(hub.url);
    const page = await follow(t, browser, harness, { url: proxy.url, pipelines: [pipeline], list: pipeline, transport: "polling" });
    await page.connected("polling");
    await page.reach(seq);
    await page.context.setOffline(true);
    proxy.down();
    await page.told({ kind: "connection", state: "waiting" });
    let last = seq;
    for (let at = 0; at < 10_000; at += 1_000) {
      ({ seq: last } = await hub.publish(pipeline, range(at + 1, at + 1_000).map((n) => file("file:queued", `more-${n}`))));
    }
    proxy.allow();
    const began = now();
    await page.context.setOffline(false);
    await page.reach(last);
    const took = now() - began;
    await page.assertExact(hub, last, { from: seq });
    const long = await longTasks(page, began);
    measured(`10,000 missed events by polling, try ${n}: up to date after ${(took / 1000).toFixed(2)} s; tasks over ${LONG_MS} ms: ${long.length} (${long})`);
    await page.page.close();
    return { long };
  }, ({ long }) => long.length === 0);
  assertUnblocked(long, wasBusy);
});
