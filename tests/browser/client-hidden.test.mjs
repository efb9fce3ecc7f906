// @ragpulse/client in a tab that is really hidden, or frozen: it asks less often, and on wake it has caught up at once and
// exactly. The tab is hidden as a person does it: another one is in front.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { until } from "../js/support/wait.mjs";
import { fresh, startHub } from "../js/support/program.mjs";
import { startPlainBrowser } from "./support/browser.mjs";
import { followIn, measured, now, startHarness, watchFrames } from "./support/harness.mjs";
import { startLoad } from "./support/load.mjs";
import { startProxy } from "./support/proxy.mjs";

const PER_SECOND = 20;

const hub = await startHub();
const context = await startPlainBrowser();
const harness = await startHarness();
const other = await context.newPage();

const visibility = (page) => page.page.evaluate(() => document.visibilityState);
const notified = (page) => page.page.evaluate(() => globalThis.harness.notified);

async function hide(page) {
  await other.bringToFront();
  await until(async () => (await visibility(page)) === "hidden", "the tab to be hidden");
}

async function show(page) {
  await page.page.bringToFront();
  await until(async () => (await visibility(page)) === "visible", "the tab to be shown");
}

/** How many times a second something happens for some seconds. */
async function rate(count, seconds) {
  const [before, began] = [await count(), now()];
  await pause(seconds * 1000);
  return ((await count()) - before) / ((now() - began) / 1000);
}

test("hidden, a socket is tried less often and the page is told less often; nothing is missing on wake", { timeout: 180_000 }, async (t) => {
  const pipeline = fresh("hidden");
  await hub.open(pipeline);
  let frames;
  const page = await followIn(t, context, harness, { url: hub.url, pipelines: [pipeline] }, async (page) => ({ frames } = await watchFrames(page)));
  await show(page);
  await page.connected("websocket");
  await page.reach(1);
  const load = startLoad(hub, pipeline, PER_SECOND);
  const pings = () => frames.filter(({ way, data }) => way === "sent" && /^42\d+\["ping"/.test(data)).map(({ at }) => at);
  const apart = (from) => pings().slice(from).map((at, n, all) => at - all[n - 1]).slice(1);

  const visibleFrom = pings().length;
  const toldVisible = await rate(() => notified(page), 3);
  await until(() => apart(visibleFrom).length >= 2, "two pings of a visible page to be apart", 60);
  const visible = Math.max(...apart(visibleFrom));
  await hide(page);
  const hiddenFrom = pings().length;
  const toldHidden = await rate(() => notified(page), 5);
  // The first was due before the page was hidden.
  await until(() => apart(hiddenFrom).length >= 2, "pings of a hidden page to be apart", 90);
  const hidden = Math.min(...apart(hiddenFrom).slice(1));
  const { seq } = load;
  await show(page);
  const woken = now();
  await page.reach(seq);
  measured(`pings of a visible page every ${(visible / 1000).toFixed(1)} s, of a hidden one every ${(hidden / 1000).toFixed(1)} s`);
  measured(`notifications under ${PER_SECOND} events/s: visible ${toldVisible.toFixed(1)} a second, hidden ${toldHidden.toFixed(1)} a second`);
  measured(`a hidden page is woken: up to date after ${Math.round(now() - woken)} ms`);
  assert.ok(hidden >= 2 * visible, `${hidden} and ${visible}`);
  assert.ok(toldHidden <= 2, `${toldHidden} notifications a second while nobody looks`);
  assert.ok(toldVisible > toldHidden, `${toldVisible} and ${toldHidden}`);
  const log = await page.assertExact(hub, (await load.stop()).seq);
  assert.deepEqual(log.filter(({ kind }) => kind === "connection").map(({ state }) => state), ["websocket"], "the socket was never given up");
});

test("hidden while its socket goes silent: on wake it has everything, without a snapshot", { timeout: 180_000 }, async (t) => {
  const pipeline = fresh("silent");
  await hub.open(pipeline);
  const proxy = await startProxy(hub.url);
  const page = await followIn(t, context, harness, { url: proxy.url, pipelines: [pipeline] });
  await show(page);
  await page.connected("websocket");
  await page.reach(1);
  const load = startLoad(hub, pipeline, PER_SECOND);
  await page.reach(20);
  await hide(page);
  proxy.stall();
  const at = load.seq;
  await until(() => load.seq > at + 60, "events that nobody hears", 30);
  const { seq } = load;
  await show(page);
  const woken = now();
  await page.reach(seq);
  const took = now() - woken;
  measured(`a page with a silent socket is woken: up to date after ${Math.round(took)} ms`);
  // 3 s of silence after the ping that waking makes, and one poll.
  assert.ok(took < 10_000, `${took} ms`);
  proxy.allow();
  await page.assertExact(hub, (await load.stop()).seq);
});

test("frozen, as browsers do to tabs that are long unseen: on wake it has everything, without a snapshot", { timeout: 180_000 }, async (t) => {
  const pipeline = fresh("frozen");
  await hub.open(pipeline);
  const page = await followIn(t, context, harness, { url: hub.url, pipelines: [pipeline] });
  const session = await context.newCDPSession(page.page);
  await show(page);
  await page.connected("websocket");
  await page.reach(1);
  const load = startLoad(hub, pipeline, PER_SECOND);
  await page.reach(20);
  for (const seconds of [2, 12]) {
    await hide(page);
    await session.send("Page.setWebLifecycleState", { state: "frozen" });
    // What is on its way may still be handled.
    await pause(500);
    const length = await page.length();
    await pause(seconds * 1000);
    const idle = (await page.length()) - length;
    assert.ok(idle < PER_SECOND, `a frozen page did nothing; it was told ${idle} updates`);
    const { seq } = load;
    await session.send("Page.setWebLifecycleState", { state: "active" });
    await show(page);
    const woken = now();
    await page.reach(seq);
    measured(`a page that was frozen for ${seconds} s is woken: up to date after ${Math.round(now() - woken)} ms`);
  }
  await page.assertExact(hub, (await load.stop()).seq);
});

test("hidden, it polls less often; nothing is missing on wake", { timeout: 180_000 }, async (t) => {
  const pipeline = fresh("polling");
  await hub.open(pipeline);
  const proxy = await startProxy(hub.url);
  const page = await followIn(t, context, harness, { url: proxy.url, pipelines: [pipeline], transport: "polling" });
  await show(page);
  await page.connected("polling");
  await page.reach(1);
  const load = startLoad(hub, pipeline, PER_SECOND);
  const polls = () => proxy.requests.filter((path) => path.startsWith("/api/pipelines/")).length;
  await page.reach(20);
  const visible = await rate(polls, 5);
  await hide(page);
  await pause(1_000);
  const hidden = await rate(polls, 10);
  const { seq } = load;
  await show(page);
  const woken = now();
  await page.reach(seq);
  measured(`polls under ${PER_SECOND} events/s: visible ${visible.toFixed(1)} a second, hidden ${hidden.toFixed(1)} a second`);
  measured(`a hidden page that polls is woken: up to date after ${Math.round(now() - woken)} ms`);
  await page.assertExact(hub, (await load.stop()).seq);
  assert.ok(hidden < visible / 2, `${hidden} polls a second while nobody looks, ${visible} while somebody does`);
});
