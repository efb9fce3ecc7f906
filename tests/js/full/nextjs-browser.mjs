// examples/nextjs-dashboard in a real browser: it goes on from the server's cursor, shows progress live, and falls back to
// polling through Next. Run by `npm run test:full`, which builds it first.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";

import { startBrowser } from "../../browser/support/browser.mjs";
import { startProxy } from "../../browser/support/proxy.mjs";
import { range } from "../support/clients.mjs";
import { startNext } from "../support/nextjs.mjs";
import { file, fresh, openHub, startHub } from "../support/program.mjs";
import { until } from "../support/wait.mjs";

const browser = await startBrowser();
const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

/** A page of the example, with what it asked and what went wrong in it. */
class Tab {
  errors = [];
  requests = [];
  /** `[event, data]` of what came by WebSocket, and of what was sent. */
  received = [];
  sent = [];
  sockets = 0;

  static async open(t, site, { width = 1280, dark = false, prepare = () => {} } = {}) {
    const context = await browser.newContext({
      viewport: { width, height: 900 }, colorScheme: dark ? "dark" : "light", reducedMotion: "reduce", locale: "en-GB", timezoneId: "Asia/Kolkata",
    });
    t.after(() => context.close());
    const tab = new Tab(await context.newPage(), site);
    await prepare(tab);
    await tab.page.goto(site.url, { waitUntil: "commit" });
    return tab;
  }

  constructor(page, site) {
    this.page = page;
    this.site = site;
    page.on("pageerror", (error) => this.errors.push(`uncaught: ${error.message}`));
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) this.errors.push(message.text());
    });
    page.on("request", (request) => this.requests.push(request.url()));
    page.on("websocket", (socket) => {
      this.sockets += 1;
      const read = (into) => ({ payload }) => {
        const found = /^4[23]\d*(\[.*)$/s.exec(String(payload));
        if (found) into.push(JSON.parse(found[1]));
      };
      socket.on("framereceived", read(this.received));
      socket.on("framesent", read(this.sent));
    });
  }

  card(pipeline) {
    return this.page.locator(`article[data-pipeline="${pipeline}"]`);
  }

  seq(pipeline) {
    return this.page.evaluate((id) => Number(document.querySelector(`article[data-pipeline="${id}"]`)?.dataset.seq ?? -1), pipeline);
  }

  reach(pipeline, seq, seconds = 30) {
    return until(async () => (await this.seq(pipeline)) >= seq, () => `the page to show seq ${seq}; errors: ${this.errors.join("; ")}`, seconds);
  }

  connection() {
    return this.page.locator("[data-connection]").first().getAttribute("data-connection");
  }

  connected(state, seconds = 40) {
    let seen;
    return until(async () => (seen = await this.connection()) === state, () => `the page to be connected by ${state}; it is ${seen}; ${this.errors.join("; ")}`, seconds);
  }

  /** The rows of a list. */
  rows(pipeline, kind) {
    return this.card(pipeline).locator(`.files.${kind} .name`).allTextContents();
  }

  assertClean(expected = /^$/) {
    assert.deepEqual(this.errors.filter((error) => !expected.test(error)), []);
  }
}

test("the page goes on from the server's cursor: no second snapshot, and nothing between is lost", async (t) => {
  const hub = await openHub();
  t.after(() => hub.program.stop());
  const site = await startNext({ hub: hub.url });
  const pipeline = fresh("docs");
  await hub.open(pipeline);
  const { seq } = await hub.publish(pipeline, ...range(1, 5).map((n) => file("file:processing", `f${n}`)));
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const tab = await Tab.open(t, site, {
    // The page is there and has no life yet.
    prepare: ({ page }) => page.route(/\/_next\/static\/.*\.js/, async (route) => {
      await held;
      await route.continue();
    }),
  });
  await tab.card(pipeline).waitFor();
  assert.equal(await tab.seq(pipeline), seq, "drawn by the server");
  const { epoch, seq: last } = await hub.publish(pipeline, ...range(1, 5).map((n) => file("file:completed", `f${n}`)));
  assert.equal(await tab.seq(pipeline), seq, "nothing follows yet");
  release();
  await tab.reach(pipeline, last);
  await tab.connected("websocket");
  const [, subscribed] = tab.sent.find(([event]) => event === "subscribe");
  assert.deepEqual(subscribed.cursors, { [pipeline]: { epoch, seq } });
  const events = tab.received.filter(([, data]) => data?.pipeline_id === pipeline && data.seq > 0);
  assert.deepEqual(events.filter(([event]) => event === "pipeline:status"), [], "no snapshot came");
  assert.deepEqual(events.filter(([event]) => event !== "heartbeat").map(([, data]) => data.seq), range(seq + 1, last));
  assert.deepEqual(await tab.rows(pipeline, "completed"), range(1, 5).map((n) => `f${6 - n}.txt`));
  assert.deepEqual(await tab.rows(pipeline, "processing"), []);
  tab.assertClean();
});

const hub = await startHub();
const site = await startNext({ hub: hub.url });

test("progress, ends and failures are shown as they happen", async (t) => {
  const pipeline = fresh("docs");
  await hub.open(pipeline, "local_files", { watch_location: "/srv/documents", check_interval: 60 });
  const tab = await Tab.open(t, site);
  await tab.connected("websocket");
  const { seq } = await hub.publish(
    pipeline,
    { event: "status:update", data: { changes: { next_check_time: new Date(Date.now() + 50_000).toISOString() } } },
    file("file:processing", "report", { processing_stage: "embedding" }), file("file:progress", "report", { progress: 0.25, processing_stage: "embedding" }),
  );
  await tab.reach(pipeline, seq);
  const bar = tab.card(pipeline).getByRole("progressbar", { name: /report/ });
  await until(async () => /25/.test(await bar.getAttribute("aria-valuetext")), "a quarter");
  await hub.publish(pipeline, file("file:progress", "report", { progress: 0.75, processing_stage: "embedding" }));
  await until(async () => /75/.test(await bar.getAttribute("aria-valuetext")), "three quarters");
  await until(async () => /in 0:[0-4]\d/.test(await tab.card(pipeline).locator(".next-check").textContent()), "the countdown");
  const end = await hub.publish(
    pipeline, file("file:completed", "report", { results: { chunks_created: 12 } }),
    file("file:processing", "scan"), file("file:failed", "scan", { error: { type: "ExtractionError", message: "no text layer", retryable: true } }),
  );
  await tab.reach(pipeline, end.seq);
  assert.deepEqual([await tab.rows(pipeline, "processing"), await tab.rows(pipeline, "completed"), await tab.rows(pipeline, "failed")], [[], ["report.txt"], ["scan.txt"]]);
  assert.match(await tab.card(pipeline).locator(".failed .cause").textContent(), /ExtractionError.*no text layer.*can be retried/);
  tab.assertClean();
});

test("where the socket is refused it polls through Next alone, and returns to the socket", async (t) => {
  const pipeline = fresh("docs");
  await hub.open(pipeline);
  const proxy = await startProxy(hub.url);
  proxy.refuse();
  const behind = await startNext({ hub: hub.url, browsers: proxy.url });
  const tab = await Tab.open(t, behind);
  await tab.connected("polling");
  const { seq } = await hub.publish(pipeline, file("file:processing", "a"), file("file:completed", "a"));
  await tab.reach(pipeline, seq);
  assert.deepEqual(await tab.rows(pipeline, "completed"), ["a.txt"]);
  assert.ok(proxy.refused > 0);
  assert.deepEqual(proxy.requests.filter((path) => path.startsWith("/api/")), [], "the hub itself is asked for nothing by HTTP");
  assert.ok(tab.requests.some((url) => url.startsWith(`${behind.url}/api/pipelines/${pipeline}/events?`)));
  proxy.allow();
  await tab.connected("websocket", 90);
  const later = await hub.publish(pipeline, file("file:processing", "b"), file("file:completed", "b"));
  await tab.reach(pipeline, later.seq);
  assert.deepEqual(await tab.rows(pipeline, "completed"), ["b.txt", "a.txt"]);
  // A browser says by itself that a socket was refused.
  tab.assertClean(/WebSocket connection to/);
});

test("the flag and the hub's rollout are obeyed", async (t) => {
  const pipeline = fresh("docs");
  const none = await openHub("--rollout-percentage", "0");
  t.after(() => none.program.stop());
  await none.open(pipeline);
  const cases = [
    ["a rollout of 0 %", { hub: none.url }, "polling", 0],
    ["the flag against it", { hub: none.url, env: { NEXT_PUBLIC_RAG_STATUS_TRANSPORT: "websocket" } }, "websocket", 1],
    ["the flag", { hub: hub.url, env: { NEXT_PUBLIC_RAG_STATUS_TRANSPORT: "polling" } }, "polling", 0],
    ["no way to the hub", { hub: hub.url, browsers: "" }, "polling", 0],
  ];
  for (const [what, settings, state, sockets] of cases) {
    const tab = await Tab.open(t, await startNext(settings));
    await tab.connected(state);
    assert.equal(tab.sockets, sockets, what);
    tab.assertClean();
  }
});

test("a hub that comes later fills the page; one that goes is said to be gone, with what is known", async (t) => {
  let own = await openHub();
  t.after(() => own.program.stop());
  const late = await startNext({ hub: own.url });
  await own.program.stop();
  const tab = await Tab.open(t, late);
  await tab.page.getByText("Connecting to the hub").waitFor();
  await tab.page.getByRole("alert").getByText("The connection to the hub is lost").waitFor({ timeout: 60_000 });
  own = await openHub("--listen", new URL(own.url).host);
  const pipeline = fresh("docs");
  await own.open(pipeline);
  await own.publish(pipeline, file("file:queued", "a"));
  await tab.page.getByRole("button", { name: "Try now" }).click();
  await tab.reach(pipeline, 2, 60);
  await tab.page.locator(".notice").waitFor({ state: "detached" });
  await own.program.stop();
  await tab.page.locator(".notice").waitFor({ timeout: 60_000 });
  assert.equal(await tab.seq(pipeline), 2, "what is known stays");
  tab.assertClean(/Failed to load resource|WebSocket connection to|ERR_CONNECTION/);
});

for (const [width, dark] of [[360, false], [360, true], [1280, false], [1280, true]]) {
  test(`nothing is too wide or hard to read at ${width} px, ${dark ? "dark" : "light"}`, async (t) => {
    const pipeline = fresh("a-pipeline-with-a-rather-long-name-which-goes-on");
    await hub.open(pipeline, "local_files", { watch_location: `/srv/${"folder/".repeat(30)}`, check_interval: 60 });
    const long = "very-long-name-".repeat(12);
    await hub.publish(
      pipeline, { event: "file:queued", data: { file: { name: "later.pdf", id: "q" } } },
      { event: "file:processing", data: { file: { name: `${long}.pdf`, id: "p", path: `${long}/${long}.pdf` }, processing_stage: "embedding" } },
      { event: "file:processing", data: { file: { name: `done-${long}.pdf`, id: "c" } } }, { event: "file:completed", data: { file: { name: `done-${long}.pdf`, id: "c" } } },
      { event: "file:failed", data: { file: { name: `bad-${long}.pdf`, id: "f" }, error: { type: "E".repeat(60), message: "m".repeat(300), stage: "storing" } } },
    );
    const tab = await Tab.open(t, site, { width, dark });
    await tab.connected("websocket");
    await tab.card(pipeline).waitFor();
    const { wide, page, window } = await tab.page.evaluate(() => ({ wide: document.documentElement.scrollWidth, page: document.body.scrollWidth, window: innerWidth }));
    assert.ok(wide <= window && page <= window, `${wide} px in ${window}`);
    // Its own scripts have no nonce, which the page's policy asks for; the browser's tools are above that.
    const session = await tab.page.context().newCDPSession(tab.page);
    await session.send("Page.setBypassCSP", { enabled: true });
    const { readFile } = await import("node:fs/promises");
    await tab.page.evaluate(await readFile(axe, "utf8"));
    const { violations } = await tab.page.evaluate(() => globalThis.axe.run(document));
    assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => `${html.slice(0, 160)} ${failureSummary}`)]), []);
    tab.assertClean();
  });
}
