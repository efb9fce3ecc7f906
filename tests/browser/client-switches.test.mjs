// @ragpulse/client in a page: twenty switches between socket and polling under steady load, and not one event lost,
// doubled, out of order, or replaced by a snapshot.
import assert from "node:assert/strict";
import { test } from "node:test";

import { fresh, startHub } from "../js/support/program.mjs";
import { startBrowser } from "./support/browser.mjs";
import { follow, measured, now, percentile, startHarness } from "./support/harness.mjs";
import { startLoad } from "./support/load.mjs";
import { startProxy } from "./support/proxy.mjs";

const SWITCHES = 20;
const PER_SECOND = 40;
/** From the end of a socket to data by polling, as the numbers of the project promise. */
const CLOSED_MS = 2_000;
const SILENT_MS = 10_000;

const hub = await startHub();
const browser = await startBrowser();
const harness = await startHarness();

test(`${SWITCHES} switches under ${PER_SECOND} events/s: 0 lost, 0 doubled, 0 out of order, no snapshot in place of events`, { timeout: 400_000 }, async (t) => {
  const pipeline = fresh("switches");
  await hub.open(pipeline);
  const proxy = await startProxy(hub.url);
  const page = await follow(t, browser, harness, { url: proxy.url, pipelines: [pipeline] });
  await page.connected("websocket");
  await page.reach(1);
  const load = startLoad(hub, pipeline, PER_SECOND);
  const gaps = { closed: [], silent: [], back: [] };
  for (let n = 0; n < SWITCHES / 2; n += 1) {
    // Most are cut and refused; every fifth goes silent.
    const way = n % 5 === 4 ? "silent" : "closed";
    let from = await page.length();
    const left = now();
    if (way === "silent") proxy.stall();
    else proxy.refuse({ status: n % 2 ? 502 : 403 });
    await page.told({ kind: "connection", state: "polling" }, { from });
    const log = await page.log(from);
    // What had left before it was cut may still arrive; the gap is the longest time without anything.
    const times = [left, ...log.filter(({ kind, at }) => kind === "event" && at > left).map(({ at }) => at)];
    gaps[way].push(Math.max(...times.slice(1).map((at, index) => at - times[index])));

    from = await page.length();
    proxy.allow();
    const allowed = now();
    await page.told({ kind: "connection", state: "websocket" }, { from, seconds: 90 });
    gaps.back.push(now() - allowed);
    // It has to work for a while, or the next one would begin in the middle of this one.
    await page.reach(load.seq + PER_SECOND);
  }
  const { seq, sent, rate } = await load.stop();
  const log = await page.assertExact(hub, seq);
  const states = log.filter(({ kind }) => kind === "connection").map(({ state }) => state);
  const switches = states.filter((state) => state === "polling").length + states.filter((state) => state === "websocket").length - 1;
  assert.equal(switches, SWITCHES, states.join(" "));
  const ms = (values) => `p50 ${Math.round(percentile(values, 0.5))} ms, longest ${Math.round(Math.max(...values))} ms`;
  measured(`${switches} switches under ${rate.toFixed(1)} events/s, ${sent} events: 0 lost, 0 doubled, 0 out of order, 0 snapshots in place of events`);
  measured(`socket cut and refused, to data by polling: ${ms(gaps.closed)} (${gaps.closed.map(Math.round)})`);
  measured(`socket silent, to data by polling: ${ms(gaps.silent)} (${gaps.silent.map(Math.round)})`);
  measured(`upgrades pass again, to the socket: ${ms(gaps.back)}`);
  assert.ok(Math.max(...gaps.silent) < SILENT_MS);
  // A machine that does something else meanwhile may spoil one of them.
  const [longest, ...others] = [...gaps.closed].sort((a, b) => b - a);
  assert.ok(Math.max(...others) < CLOSED_MS && longest < 2 * CLOSED_MS);
});
