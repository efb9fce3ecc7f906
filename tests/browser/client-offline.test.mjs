// @ragpulse/client in a page whose browser loses its network and finds it again: it is back as soon as the browser says so.
import assert from "node:assert/strict";
import { test } from "node:test";

import { until } from "../js/support/wait.mjs";
import { fresh, startHub } from "../js/support/program.mjs";
import { startBrowser } from "./support/browser.mjs";
import { follow, measured, now, startHarness } from "./support/harness.mjs";
import { startLoad } from "./support/load.mjs";
import { startProxy } from "./support/proxy.mjs";

/** Far below what it waits by itself after so many failures: it is the browser's word that brings it back. */
const AT_ONCE_MS = 2_000;

const hub = await startHub();
const browser = await startBrowser();
const harness = await startHarness();

for (const transport of ["auto", "websocket", "polling"]) {
  test(`the network is gone for a while, and it is back at once when the browser says so [${transport}]`, { timeout: 180_000 }, async (t) => {
    const pipeline = fresh("offline");
    await hub.open(pipeline);
    const proxy = await startProxy(hub.url);
    const page = await follow(t, browser, harness, { url: proxy.url, pipelines: [pipeline], transport });
    const normal = transport === "polling" ? "polling" : "websocket";
    await page.connected(normal);
    await page.reach(1);
    const load = startLoad(hub, pipeline, 20);
    await page.reach(20);
    for (const seconds of [3, 9]) {
      let from = await page.length();
      // The browser refuses what is new; what was open breaks at the proxy, as it does when an address changes.
      await page.context.setOffline(true);
      proxy.down();
      const lost = await page.told({ kind: "connection", state: "waiting" }, { from });
      assert.equal(lost.cause.kind, "offline", JSON.stringify(lost));
      const due = now() + seconds * 1000;
      await until(() => now() > due, "a time without a network", seconds + 10);
      from = await page.length();
      const { seq } = load;
      proxy.allow();
      await page.context.setOffline(false);
      const online = now();
      await page.reach(seq);
      const took = now() - online;
      measured(`offline for ${seconds} s [${transport}]: up to date ${Math.round(took)} ms after the browser was online`);
      assert.ok(took < AT_ONCE_MS, `${took} ms`);
      // Which may take a while where it still has to prove itself.
      await page.connected(normal, 90);
    }
    await page.assertExact(hub, (await load.stop()).seq);
  });
}

test("the browser says that it is offline, and is wrong: data goes on all the same", { timeout: 120_000 }, async (t) => {
  const pipeline = fresh("wrong");
  await hub.open(pipeline);
  const page = await follow(t, browser, harness, { url: hub.url, pipelines: [pipeline] });
  await page.connected("websocket");
  await page.reach(1);
  const load = startLoad(hub, pipeline, 20);
  await page.reach(20);
  const { seq } = load;
  const from = await page.length();
  // socket.io-client closes its socket by itself upon this event, so it is lost and found again.
  await page.page.evaluate(() => dispatchEvent(new Event("offline")));
  const said = now();
  await page.reach(seq + 100);
  await page.connected("websocket");
  const log = await page.log(from);
  const times = [said, ...log.filter(({ kind, at }) => kind === "event" && at > said).map(({ at }) => at)];
  measured(`the browser says offline and is wrong: at most ${Math.round(Math.max(...times.slice(1).map((at, n) => at - times[n])))} ms without data`);
  for (const { cause } of log.filter(({ kind, cause }) => kind === "connection" && cause)) assert.equal(cause.kind, "offline");
  await page.page.evaluate(() => dispatchEvent(new Event("online")));
  await page.assertExact(hub, (await load.stop()).seq);
});
