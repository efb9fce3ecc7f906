// @ragpulse/client in a page, behind a proxy that does not let its WebSocket through: polling takes over, in time, and
// the socket comes back.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { until } from "../js/support/wait.mjs";
import { file, fresh, startHub } from "../js/support/program.mjs";
import { startBrowser } from "./support/browser.mjs";
import { follow, measured, now, startHarness } from "./support/harness.mjs";
import { startLoad } from "./support/load.mjs";
import { startProxy } from "./support/proxy.mjs";

/** What the numbers of the project promise. */
const REFUSED_MS = 2_000;
const SILENT_MS = 10_000;

const hub = await startHub();
const browser = await startBrowser();
const harness = await startHarness();

const polls = (proxy) => proxy.requests.filter((path) => path.startsWith("/api/pipelines/")).length;

for (const status of [403, 502]) {
  test(`a WebSocket that is refused from the start by ${status}: polling takes over, and the socket comes back`, { timeout: 120_000 }, async (t) => {
    const pipeline = fresh("refused");
    await hub.open(pipeline);
    const proxy = await startProxy(hub.url);
    proxy.refuse({ status });
    const load = startLoad(hub, pipeline, 20);
    const page = await follow(t, browser, harness, { url: proxy.url, pipelines: [pipeline] });
    const opened = await page.page.evaluate(() => globalThis.harness.opened);
    const { at } = await page.told({ kind: "snapshot" });
    measured(`socket refused from the start by ${status}: data by polling ${Math.round(at - opened)} ms after the page began to follow`);
    assert.ok(at - opened < REFUSED_MS, `${at - opened} ms`);
    assert.ok(proxy.refused > 0, "it was tried");
    assert.equal(proxy.accepted, 0);
    await page.connected("polling");
    const { cause } = await page.connection();
    assert.ok(["failed", "refused"].includes(cause.kind), JSON.stringify(cause));
    assert.ok(cause.message.length > 0);

    proxy.allow();
    const allowed = now();
    await page.connected("websocket", 90);
    const back = (await page.told({ kind: "connection", state: "websocket" })).at;
    measured(`upgrades pass again after ${status}: on the socket ${Math.round(back - allowed)} ms later`);
    assert.deepEqual((await page.connection()).cause, null);
    // One that was on its way is the last.
    await until(async () => {
      const before = polls(proxy);
      await pause(500);
      return polls(proxy) === before;
    }, "the polls to end", 10);
    const { seq } = await load.stop();
    await page.assertExact(hub, seq, { from: null });
  });
}

test("a socket that goes silent, from the start or later, is given up in time; what comes of it afterwards does no harm", { timeout: 240_000 }, async (t) => {
  const pipeline = fresh("silent");
  await hub.open(pipeline);
  const proxy = await startProxy(hub.url);
  const load = startLoad(hub, pipeline, 20);
  for (const handshake of [false, true]) {
    proxy.stall({ handshake });
    const page = await follow(t, browser, harness, { url: proxy.url, pipelines: [pipeline] });
    const opened = await page.page.evaluate(() => globalThis.harness.opened);
    const { at } = await page.told({ kind: "snapshot" });
    measured(`socket silent from the start, ${handshake ? "after" : "before"} its handshake: data by polling after ${Math.round(at - opened)} ms`);
    assert.ok(at - opened < SILENT_MS, `${at - opened} ms`);
    await page.connected("polling");
    assert.equal((await page.connection()).cause.kind, "silence");
    // What was held back arrives, on sockets that nobody waits for any more.
    proxy.allow();
    await page.connected("websocket", 90);

    // And now one that has worked.
    const from = await page.length();
    proxy.stall({ handshake });
    const silent = now();
    const told = await page.told({ kind: "connection", state: "polling" }, { from });
    assert.equal(told.cause.kind, "silence");
    const first = (await page.log(from)).find((entry) => entry.kind === "event" && entry.at > silent + 500);
    measured(`a working socket goes silent: data by polling ${Math.round(first.at - silent)} ms later`);
    assert.ok(first.at - silent < SILENT_MS, `${first.at - silent} ms`);
    proxy.allow();
    await page.connected("websocket", 90);
    const { seq } = load;
    await page.reach(seq);
    const events = (await page.log()).filter(({ kind }) => kind === "event").map(({ seq }) => seq);
    assert.deepEqual(events, events.map((_, n) => events[0] + n), "every event once, in order");
    if (handshake) await page.assertExact(hub, (await load.stop()).seq, { from: null });
  }
});

test("a short silence costs nothing, and is not told", { timeout: 120_000 }, async (t) => {
  const pipeline = fresh("short");
  await hub.open(pipeline);
  const proxy = await startProxy(hub.url);
  const page = await follow(t, browser, harness, { url: proxy.url, pipelines: [pipeline] });
  await page.connected("websocket");
  await page.reach(1);
  const load = startLoad(hub, pipeline, 20);
  for (let n = 0; n < 3; n += 1) {
    await page.reach(load.seq + 10);
    proxy.stall();
    const { seq } = load;
    await until(() => load.seq >= seq + 20, "events that nobody hears", 30);
    proxy.allow();
  }
  const { seq } = await load.stop();
  const log = await page.assertExact(hub, seq);
  assert.deepEqual(log.filter(({ kind }) => kind === "connection").map(({ state }) => state), ["websocket"]);
  assert.equal(proxy.accepted, 1);
});

test("a hub that is not there, and then is: it says that it waits, and finds it by polling or by socket", { timeout: 120_000 }, async (t) => {
  const pipeline = fresh("later");
  await hub.open(pipeline);
  const proxy = await startProxy(hub.url);
  proxy.down();
  const page = await follow(t, browser, harness, { url: proxy.url, pipelines: [pipeline] });
  const told = await page.told({ kind: "connection", state: "waiting" });
  assert.equal(told.cause.kind, "failed");
  assert.equal(await page.snapshot(), null);
  proxy.allow();
  await page.told({ kind: "snapshot" }, { seconds: 60 });
  await page.connected("websocket", 90);
  const { seq } = await hub.publish(pipeline, file("file:queued", "a"));
  await page.assertExact(hub, seq);
});
