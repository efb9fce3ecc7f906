// What pages need of @ragpulse/client beyond following one pipeline: all of them, some that come later, a first state
// from a server, polls in intervals; and what the hub is told of how the page fares.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { range } from "../js/support/clients.mjs";
import { file, fresh, openHub, startHub } from "../js/support/program.mjs";
import { until } from "../js/support/wait.mjs";
import { startBrowser } from "./support/browser.mjs";
import { follow, measured, now, startHarness, watchFrames } from "./support/harness.mjs";
import { startLoad } from "./support/load.mjs";
import { startProxy } from "./support/proxy.mjs";

const hub = await startHub();
const browser = await startBrowser();
const harness = await startHarness();

for (const transport of ["websocket", "polling"]) {
  test(`all pipelines: those that are there, one that comes later, one that goes [${transport}]`, { timeout: 120_000 }, async (t) => {
    const own = await openHub();
    t.after(() => own.program.stop());
    const [first, second, late] = range(1, 3).map(() => fresh("all"));
    for (const pipeline of [first, second]) await own.open(pipeline);
    const page = await follow(t, browser, harness, { url: own.url, pipelines: "all", transport });
    for (const pipeline of [first, second]) await page.reach(1, { pipeline });
    await own.open(late);
    const came = now();
    await page.reach(1, { pipeline: late });
    measured(`a new pipeline is in a page that follows all [${transport}]: ${Math.round(now() - came)} ms after it was opened`);
    for (const n of range(1, 10)) for (const pipeline of [first, second, late]) await own.publish(pipeline, file("file:queued", `f${n}`));
    for (const pipeline of [first, second, late]) {
      // By socket it is seen from its first event; by polling its first answer may be its state.
      const from = pipeline === late ? null : 1;
      const log = await page.assertExact(own, 11, { pipeline, from });
      if (pipeline === late && transport === "websocket") assert.deepEqual(log.filter((entry) => entry.pipeline === late && entry.kind === "snapshot"), []);
    }
    const known = () => page.page.evaluate(() => [...globalThis.harness.store.pipelines].sort());
    assert.deepEqual(await known(), [first, second, late].sort());
    await own.forget(second);
    await until(async () => !(await known()).includes(second), "the one that was forgotten to go", 40);
    assert.deepEqual(await known(), [first, late].sort());
    assert.deepEqual(page.errors, []);
  });

  test(`a page that follows what it did not follow before, and lets go of it [${transport}]`, { timeout: 120_000 }, async (t) => {
    const [first, second] = [fresh("later"), fresh("later")];
    for (const pipeline of [first, second]) await hub.open(pipeline);
    const page = await follow(t, browser, harness, { url: hub.url, pipelines: [], transport });
    await page.page.evaluate((id) => void (globalThis.letGo = globalThis.harness.store.follow([id])), first);
    await page.reach(1, { pipeline: first });
    await page.page.evaluate((id) => void globalThis.harness.store.follow([id]), second);
    await page.reach(1, { pipeline: second });
    for (const n of range(1, 5)) for (const pipeline of [first, second]) await hub.publish(pipeline, file("file:queued", `f${n}`));
    for (const pipeline of [first, second]) await page.assertExact(hub, 6, { pipeline });
    await page.page.evaluate(() => globalThis.letGo());
    await page.told({ kind: "removed", pipeline: first });
    for (const pipeline of [first, second]) await hub.publish(pipeline, file("file:queued", "after"));
    await page.assertExact(hub, 7, { pipeline: second });
    assert.equal(await page.snapshot(first), null);
    assert.deepEqual((await page.log()).filter(({ pipeline, seq }) => pipeline === first && seq > 6), []);
  });

  test(`a page goes on from the state that its server fetched, with the first event after it [${transport}]`, { timeout: 120_000 }, async (t) => {
    const pipeline = fresh("initial");
    await hub.open(pipeline);
    const { seq: fetched } = await hub.publish(pipeline, range(1, 50).map((n) => file("file:queued", `f${n}`)));
    const initial = [await hub.state(pipeline)];
    const { seq: missed } = await hub.publish(pipeline, range(51, 100).map((n) => file("file:queued", `f${n}`)));
    const page = await follow(t, browser, harness, { url: hub.url, pipelines: [pipeline], transport, initial });
    assert.ok((await page.page.evaluate((id) => globalThis.harness.reached(id), pipeline)) >= fetched, "it is there at once");
    await page.reach(missed);
    const { seq } = await hub.publish(pipeline, file("file:queued", "last"));
    const log = await page.assertExact(hub, seq, { initial: fetched });
    assert.deepEqual(log.filter(({ kind }) => kind === "snapshot"), [], "no second state in place of the events after the first");
  });
}

/** What the page has told of itself by its socket. */
const statusesIn = (frames) =>
  frames.filter(({ way, data }) => way === "sent" && /^42\d*\["client:status"/.test(data)).map(({ data }) => JSON.parse(data.replace(/^42\d*/, ""))[1]);

test("polls in intervals: as often as asked for, and nothing is missing", { timeout: 120_000 }, async (t) => {
  const pipeline = fresh("interval");
  await hub.open(pipeline);
  await hub.publish(pipeline, file("file:processing", "open"));
  const proxy = await startProxy(hub.url);
  const polling = { busyMs: 1_000, idleMs: 1_000, offlineMs: 1_000 };
  const page = await follow(t, browser, harness, { url: proxy.url, pipelines: [pipeline], transport: "polling", polling });
  await page.reach(2);
  const load = startLoad(hub, pipeline, 20);
  const polls = () => proxy.requests.filter((path) => path.startsWith("/api/pipelines/"));
  const [before, began] = [polls().length, now()];
  await until(() => polls().length >= before + 6, "six polls", 60);
  const apart = (now() - began) / 6;
  measured(`polls in intervals of 1 s: ${(apart / 1000).toFixed(2)} s apart`);
  assert.ok(apart > 700, `${apart} ms`);
  assert.deepEqual(polls().filter((path) => !/[?&]wait=0(&|$)/.test(path)), [], "none is held");
  const { seq } = await load.stop();
  await page.assertExact(hub, seq, { from: 2 });
});

test("a fallback that is over before a poll could tell its cause is told by the socket, once", { timeout: 120_000 }, async (t) => {
  const pipeline = fresh("brief");
  await hub.open(pipeline);
  const proxy = await startProxy(hub.url);
  let frames;
  const page = await follow(t, browser, harness, { url: proxy.url, pipelines: [pipeline] }, async (page) => ({ frames } = await watchFrames(page)));
  const told = () => statusesIn(frames);
  await page.connected("websocket");
  proxy.refuse();
  // Nothing happens, so its polls are held for longer than this lasts.
  await page.connected("polling");
  await page.page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  proxy.allow();
  await page.connected("websocket", 90);
  await until(() => told().some(({ fallback_dwell_ms: ms }) => ms > 0), "the page to tell how long it polled");
  const causes = [...told(), ...proxy.reports].flatMap(({ fallback_cause: cause }) => cause ?? []);
  assert.deepEqual(causes, ["failed"]);
});

test("what the page tells of itself: a fallback with its cause, how long it lasted, round trips and paints", { timeout: 180_000 }, async (t) => {
  const pipeline = fresh("reports");
  await hub.open(pipeline);
  const proxy = await startProxy(hub.url);
  let frames;
  const page = await follow(t, browser, harness, { url: proxy.url, pipelines: [pipeline] }, async (page) => ({ frames } = await watchFrames(page)));
  const told = () => statusesIn(frames);
  await page.connected("websocket");
  await until(() => told().some(({ transport }) => transport === "websocket"), "the page to tell that it has a socket");
  const load = startLoad(hub, pipeline, 20);
  const before = told().length;
  const causes = () => [...told(), ...proxy.reports].filter(({ fallback_cause: cause }) => cause !== undefined);
  proxy.refuse();
  await page.told({ kind: "connection", state: "polling" });
  await until(() => proxy.reports.some(({ fallback_cause: cause }) => cause), "the page to tell by a poll that it polls, and why", 40);
  const [{ transport, fallback_cause: cause }] = proxy.reports.filter(({ fallback_cause: cause }) => cause);
  assert.equal(transport, "polling");
  assert.equal(cause, "failed");
  proxy.allow();
  await page.connected("websocket", 90);
  await until(() => told().slice(before).some(({ fallback_dwell_ms: ms }) => ms > 0), "the page to tell how long it polled");
  assert.equal(causes().length, 1, "the cause is named once for each fallback, or the hub would count it twice");
  const { fallback_dwell_ms: dwell } = told().slice(before).find(({ fallback_dwell_ms: ms }) => ms > 0);
  const log = (await page.log()).filter(({ kind }) => kind === "connection");
  const spent = log.findLast(({ state }) => state === "websocket").at - log.find(({ state }) => state === "polling").at;
  measured(`a fallback of ${Math.round(spent)} ms is told as one of ${dwell} ms, for the cause ${cause}`);
  assert.ok(Math.abs(dwell - spent) < 1_000, `${dwell} and ${spent}`);
  // The next one tells of a paint and a round trip.
  await page.page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await until(() => told().some(({ latency_ms: ms }) => ms !== undefined), "a round trip to be told");
  await pause(200);
  await page.page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await until(() => told().some(({ paint_latency_ms: ms }) => ms !== undefined), "a paint to be told");
  const paint = told().findLast(({ paint_latency_ms: ms }) => ms !== undefined).paint_latency_ms;
  const { clockOffsetMs: offset, latencyMs: latency } = await page.page.evaluate(() => globalThis.harness.store.vitals);
  measured(`publish to paint, as the page tells the hub: ${paint} ms; it takes the hub's clock, which is its own, to be ${offset.toFixed(1)} ms ahead, after a round trip of ${latency.toFixed(1)} ms`);
  assert.equal(new Set([...told(), ...proxy.reports].map(({ client_id: id }) => id)).size, 1, "it is one client throughout");
  await page.assertExact(hub, (await load.stop()).seq);
});
