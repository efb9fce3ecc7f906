// @ragpulse/client in a page, over a hub that is killed and comes back on its port with what it had stored.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { range } from "../js/support/clients.mjs";
import { file, fresh, openHub } from "../js/support/program.mjs";
import { startBrowser } from "./support/browser.mjs";
import { follow, measured, now, startHarness } from "./support/harness.mjs";

const browser = await startBrowser();
const harness = await startHarness();

for (const transport of ["auto", "websocket", "polling"]) {
  test(`a hub that is killed and comes back: no hole, no repeat, no second snapshot, and the cause is told [${transport}]`, { timeout: 180_000 }, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "ragpulse-browser-"));
    const store = ["--store", `sqlite:${join(folder, "log.db")}`];
    let hub = await openHub(...store);
    t.after(async () => {
      await hub.program.stop();
      await rm(folder, { recursive: true, force: true });
    });
    const pipeline = fresh("restart");
    let { seq } = await hub.open(pipeline);
    const page = await follow(t, browser, harness, { url: hub.url, pipelines: [pipeline], transport });
    await page.connected(transport === "polling" ? "polling" : "websocket");
    await page.reach(seq);
    const more = async (count) => ({ seq } = await hub.publish(pipeline, range(1, count).map(() => file("file:queued", fresh("f")))));
    await more(50);
    await page.reach(seq);
    for (const [round, signal] of ["SIGKILL", "SIGKILL", "SIGTERM"].entries()) {
      // Some of what was reported last may be on its way when it dies.
      await more(100);
      const from = await page.length();
      await hub.program.stop(signal);
      // Nothing is told as long as nothing comes: it says that it waits, and why.
      const lost = await page.told({ kind: "connection", state: "waiting" }, { from });
      const expected = signal === "SIGTERM" ? ["hub_closing", "failed"] : ["failed"];
      assert.ok(expected.includes(lost.cause?.kind), JSON.stringify(lost));
      if (lost.cause.kind === "failed") assert.ok(lost.cause.message.length > 0);
      hub = await openHub("--listen", new URL(hub.url).host, ...store);
      const back = now();
      await more(100);
      await page.reach(seq);
      const log = await page.log(from);
      const { at } = log.find((entry) => entry.kind === "event" && entry.seq === seq);
      measured(`hub ended by ${signal} and back [${transport}, ${round + 1}]: everything is in the page ${Math.round(at - back)} ms after the hub was`);
    }
    await page.assertExact(hub, seq);
    await page.connected(transport === "polling" ? "polling" : "websocket");
  });
}

test("a hub that forgot gives its whole state, and says why", { timeout: 120_000 }, async (t) => {
  let hub = await openHub();
  t.after(() => hub.program.stop());
  const pipeline = fresh("forgot");
  await hub.open(pipeline);
  await hub.publish(pipeline, range(1, 5).map((n) => file("file:queued", `f${n}`)));
  const page = await follow(t, browser, harness, { url: hub.url, pipelines: [pipeline] });
  await page.reach(6);
  const { epoch } = await page.snapshot();
  const from = await page.length();
  await hub.program.stop("SIGKILL");
  hub = await openHub("--listen", new URL(hub.url).host);
  await hub.open(pipeline);
  await page.until(([pipeline, epoch]) => ![undefined, epoch].includes(globalThis.harness.store.getSnapshot(pipeline)?.epoch), [pipeline, epoch], "the new epoch");
  assert.deepEqual(await page.snapshot(), await hub.state(pipeline));
  // It found the hub again before or after the pipeline was back.
  const last = (await page.log(from)).findLast(({ kind }) => kind !== "connection" && kind !== "liveness");
  assert.ok(last.kind === "event" ? last.seq === 1 : last.reason === "epoch_changed", JSON.stringify(last));
  assert.deepEqual(page.errors, []);
});
