// The page at / of a live hub, in a real browser.
import assert from "node:assert/strict";
import { test } from "node:test";

import { file, fresh, openHub, startHub } from "../js/support/program.mjs";
import { until } from "../js/support/wait.mjs";
import { openPage, startBrowser } from "./support/browser.mjs";
import { startProxy } from "./support/proxy.mjs";

const hub = await startHub();
const browser = await startBrowser();
const shows = (view, selector, pattern, seconds) =>
  until(async () => pattern.test((await view.text(selector)) ?? ""), `${selector} to show ${pattern}`, seconds);
const onSocket = (view) => until(async () => (await view.transport()) === "websocket", "the socket", 30);
const select = (id) => `#pipeline=${id}`;

test("it loads under its policy, says that it waits, and shows the first pipeline live", { timeout: 90_000 }, async () => {
  const own = await openHub();
  const view = await openPage(browser, own.url);
  try {
    const policy = view.response.headers()["content-security-policy"];
    for (const part of ["default-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"]) assert.ok(policy.includes(part), policy);
    assert.ok(!/unsafe/.test(policy), policy);
    await onSocket(view);
    await shows(view, "#link-name", /^WebSocket$/);
    await shows(view, "#empty-title", /^No pipelines yet$/);
    await own.publish("first", [
      { event: "pipeline:online", data: { pipeline_type: "local_files", watch_location: "/srv/documents", check_interval: 60 } },
      file("file:processing", "a", { processing_stage: "extraction" }),
    ]);
    await shows(view, "#name", /^first$/, 30);
    await shows(view, "#live-name", /Live/);
    await view.agrees(own, "first");
    assert.equal(await view.page.title(), "0 % · first · RagPulse");
    await view.assertClean();
  } finally {
    await view.close();
    await own.program.stop();
  }
});

test("files are followed live: stages, ends, causes, filters, search, one file in full", { timeout: 90_000 }, async () => {
  const id = fresh("live");
  await hub.open(id);
  const view = await openPage(browser, hub.url, { hash: select(id) });
  try {
    await shows(view, "#name", new RegExp(`^${id}$`));
    const row = (key) => `#list .row[data-key="${key}"]`;
    await hub.publish(id, ["a", "b", "c", "d"].map((name) => file("file:queued", name)));
    await view.agrees(hub, id);
    await hub.publish(id, [
      file("file:processing", "a", { processing_stage: "extraction" }),
      file("file:progress", "a", { processing_stage: "embedding", progress: 0.42, current: 21, total: 50, unit: "chunks" }),
      file("file:processing", "b", { processing_stage: "storing" }),
    ]);
    await shows(view, `${row("a")} .row-text`, /Embedding.*42 %.*21 of 50 chunks/);
    await hub.publish(id, [
      file("file:completed", "a", { results: { chunks_created: 50, processing_duration: 1.25 } }),
      file("file:failed", "b", { error: { type: "ParseError", message: "no text in page 7", stage: "extraction", retryable: false } }),
      file("file:skipped", "c", { reason: "unchanged" }),
    ]);
    await view.agrees(hub, id);
    await shows(view, `${row("a")} .row-text`, /50 chunks/);
    await shows(view, `${row("b")} .row-text`, /ParseError in extraction.*no text in page 7/);
    await shows(view, "#causes-list", /ParseError/);
    assert.deepEqual(await view.counts(), { all: 4, processing: 0, queued: 1, completed: 1, failed: 1, skipped: 1, cancelled: 0 });
    await shows(view, "#done", /3/);

    await view.page.click('#filters button[data-state="failed"]');
    await until(async () => Object.keys(await view.rows()).join() === "b", "the filter");
    await view.page.click('#filters button[data-state="all"]');
    await view.page.fill("#search", "page 7");
    await until(async () => Object.keys(await view.rows()).join() === "b", "the search");
    await view.page.click(`${row("b")} button`);
    await shows(view, "#sheet-cause", /no text in page 7/);
    await view.page.keyboard.press("Escape");
    await until(async () => !(await view.page.evaluate(() => document.querySelector("#sheet").open)), "the sheet to close");
    await view.page.fill("#search", "");
    await hub.publish(id, [{ event: "file:deleted", data: { file: { name: "a.txt", id: "a" } } }, { event: "pipeline:offline" }]);
    await view.agrees(hub, id);
    await shows(view, "#live-name", /Offline/);
    await view.assertClean();
  } finally {
    await view.close();
  }
});

test("names from outside stay text, whatever they are made of", { timeout: 90_000 }, async () => {
  const id = fresh("hostile");
  await hub.open(id);
  const names = [
    '<img src=x onerror="document.title=1;globalThis.caught=1">',
    '"><script>globalThis.caught=2</script>',
    "javascript:globalThis.caught=3",
    "{{constructor.constructor('globalThis.caught=4')()}}",
    "invoice\u202egpj.exe",
    "line\nbreak\u0000\u0007\u001b[31m",
    "__proto__",
    "constructor",
    "W".repeat(1_000),
    "\ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67.txt",
    "\u0645\u0644\u0641.pdf",
    "</title></style><style>*{display:none}</style>",
    "'; DROP TABLE files; --",
  ];
  const error = { type: "<b>Type</b>", message: '<svg onload="globalThis.caught=5">', stage: "<i>stage</i>" };
  await hub.publish(id, names.map((name, n) => ({
    event: n % 2 ? "file:failed" : "file:processing",
    data: { file: { name, id: name.slice(0, 200), path: `/${name}`, mime_type: "<u>x</u>" }, ...(n % 2 ? { error } : { processing_stage: "<i>stage</i>" }) },
  })));
  await hub.publish(id, { event: "status:update", data: { changes: { status: "<b>busy</b>", watch_location: "<img src=x onerror=globalThis.caught=6>" } } });
  for (const width of [1280, 360]) {
    const view = await openPage(browser, hub.url, { hash: select(id), width, height: 1_600 });
    try {
      await shows(view, "#name", new RegExp(`^${id}$`));
      const rows = () => view.page.evaluate(() => document.querySelectorAll("#list .row").length);
      await until(async () => (await rows()) === names.length, "every row");
      const found = await view.page.evaluate(() => ({
        caught: globalThis.caught,
        made: document.querySelectorAll("main img, main script, main style, main b b, main u, dialog img, .row-title *").length,
        titles: [...document.querySelectorAll(".row-title")].map((title) => title.textContent),
      }));
      assert.equal(found.caught, undefined);
      assert.equal(found.made, 0, "no name became an element");
      assert.ok(found.titles.includes(names[0]) && found.titles.includes(names[1]) && found.titles.includes("__proto__"));
      for (const title of found.titles) assert.doesNotMatch(title, /[\u0000-\u001f\u202e]/, "nothing rearranges the line");
      await view.page.click("#list .row button");
      await until(() => view.page.evaluate(() => document.querySelector("#sheet").open), "the sheet");
      await view.assertNoOverflow();
      assert.equal(await view.page.evaluate(() => globalThis.caught), undefined);
      await view.assertClean();
    } finally {
      await view.close();
    }
  }
  await hub.forget(id);
});

test("without the socket it polls, shows the same, and goes back to the socket", { timeout: 120_000 }, async () => {
  const id = fresh("fallback");
  await hub.open(id);
  const proxy = await startProxy(hub.url);
  proxy.refuse();
  const view = await openPage(browser, proxy.url, { hash: select(id) });
  let n = 0;
  const more = async () => {
    n += 1;
    await hub.publish(id, [file("file:queued", `f${n}`), file("file:processing", `f${n}`), ...(n % 3 ? [file(n % 2 ? "file:completed" : "file:failed", `f${n}`)] : [])]);
  };
  try {
    await until(async () => (await view.transport()) === "polling", "polling to begin", 30);
    await shows(view, "#link-name", /^Polling$/);
    assert.ok(proxy.refused > 0);
    for (let i = 0; i < 4; i += 1) await more();
    await view.agrees(hub, id);

    // Back, while events go on.
    proxy.allow();
    await until(async () => { await more(); return n >= 10 || (await view.transport()) === "websocket"; }, "the socket", 40);
    await onSocket(view);
    await view.agrees(hub, id);
    const polls = proxy.requests.filter((path) => path.startsWith("/api/pipelines/")).length;
    await more();
    await view.agrees(hub, id);
    assert.equal(proxy.requests.filter((path) => path.startsWith("/api/pipelines/")).length, polls, "the polls have ended");

    // And away again, in the middle.
    proxy.refuse();
    await more();
    await until(async () => (await view.transport()) === "polling", "polling again", 30);
    await more();
    await view.agrees(hub, id);
    const asked = proxy.requests.filter((path) => path.startsWith(`/api/pipelines/${id}/events`));
    assert.ok(asked.some((path) => /epoch=.*seq=|seq=.*epoch=/.test(path)), "it goes on from its cursor");
    assert.equal(asked.filter((path) => !/epoch=/.test(path)).length, 1, "one whole state, at the beginning");
    await view.assertClean((error) => /WebSocket connection to .* failed/.test(error));
  } finally {
    await view.close();
  }
  await hub.forget(id);
});

test("a hub that is killed and comes back on its port is found again", { timeout: 120_000 }, async () => {
  const first = await openHub();
  const address = new URL(first.url).host;
  await first.open("p");
  await first.publish("p", [file("file:processing", "old"), file("file:completed", "older")]);
  const view = await openPage(browser, first.url);
  let second;
  try {
    await onSocket(view);
    await view.agrees(first, "p");
    await first.program.stop("SIGKILL");
    await until(async () => (await view.transport()) === "offline", "the loss to be seen", 30);
    await shows(view, "#link-name", /not reached/);
    second = await openHub("--listen", address);
    await onSocket(view);
    // A hub that has forgotten: the old state goes, and the pipeline shows again with its first event.
    await until(() => view.page.evaluate(() => document.querySelector("#detail").hidden), "the old state to go");
    await second.open("p");
    await view.agrees(second, "p", 5);
    await second.publish("p", [file("file:queued", "new"), file("file:failed", "bad")]);
    await onSocket(view);
    await view.agrees(second, "p");
    await second.publish("p", file("file:completed", "new"));
    await view.agrees(second, "p");
    await view.assertClean((error) => /ERR_CONNECTION_REFUSED|WebSocket connection to .* failed|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET/.test(error));
  } finally {
    await view.close();
    await second?.program.stop();
    await first.program.stop("SIGKILL");
  }
});

test("several pipelines: each can be chosen, and none disturbs the other", { timeout: 60_000 }, async () => {
  const own = await openHub();
  const ids = ["drive-pipeline", "local-pipeline"];
  await own.open(ids[0], "google_drive");
  await own.open(ids[1], "local_files");
  for (const id of ids) await own.publish(id, [file("file:processing", `${id}-1`), file("file:completed", `${id}-2`)]);
  const view = await openPage(browser, own.url);
  try {
    for (const id of [...ids, ids[0]]) {
      await until(() => view.page.evaluate((id) => {
        const button = [...document.querySelectorAll("#pipelines button")].find((button) => button.textContent.includes(id));
        button?.click();
        return Boolean(button);
      }, id), `${id} in the list`);
      await shows(view, "#name", new RegExp(`^${id}$`));
      await view.agrees(own, id);
    }
    await own.publish(ids[1], file("file:failed", "x"));
    await own.forget(ids[1]);
    await until(async () => (await view.page.evaluate(() => document.querySelectorAll("#pipelines button").length)) === 1, "the forgotten one to go", 30);
    await view.assertClean();
  } finally {
    await view.close();
    await own.program.stop();
  }
});
