// The page at / of a live hub, in a real browser: its policy, what it shows of files and pipelines, and by which way.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { file, fresh, openHub, startHub } from "../js/support/program.mjs";
import { until } from "../js/support/wait.mjs";
import { openPage, startBrowser } from "./support/browser.mjs";
import { startProxy } from "./support/proxy.mjs";

const hub = await startHub();
const browser = await startBrowser();
const select = (id) => `#pipeline=${id}`;

/** What a browser says by itself of a hub that is away. */
const isAway = (error) => /ERR_CONNECTION_REFUSED|WebSocket connection to .* failed|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET/.test(error);

test("it loads under its policy, says that it waits, and shows the first pipeline live", { timeout: 90_000 }, async () => {
  const own = await openHub();
  const view = await openPage(browser, own.url);
  try {
    const policy = view.response.headers()["content-security-policy"];
    for (const part of ["default-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"]) assert.ok(policy.includes(part), policy);
    assert.ok(!/unsafe/.test(policy), policy);
    await view.connected("websocket");
    await view.shows(view.link.getByRole("button", { name: /^WebSocket/ }), /^WebSocket/);
    await view.shows(view.title, /^No pipelines yet$/);
    await own.publish("first", [
      { event: "pipeline:online", data: { pipeline_type: "local_files", watch_location: "/srv/documents", check_interval: 60 } },
      file("file:processing", "a", { processing_stage: "extraction" }),
    ]);
    await view.shows(view.title, /^first$/);
    await view.main.getByText("Live", { exact: true }).waitFor();
    await view.main.getByText("/srv/documents", { exact: true }).waitFor();
    await view.agrees(own, "first");
    await until(async () => (await view.page.title()) === "0 % · first · RagPulse", "the title");
    assert.equal(await view.pipelines.count(), 0, "one pipeline needs no list of pipelines");
    await view.assertClean();
  } finally {
    await view.close();
    await own.program.stop();
  }
});

test("files are followed live: stages, ends, causes, filters, search, one file in full", { timeout: 120_000 }, async () => {
  const id = fresh("live");
  await hub.open(id);
  const view = await openPage(browser, hub.url, { hash: select(id) });
  try {
    await view.shows(view.title, new RegExp(`^${id}$`));
    await hub.publish(id, ["a", "b", "c", "d"].map((name) => file("file:queued", name)));
    await view.agrees(hub, id);
    await hub.publish(id, [
      file("file:processing", "a", { processing_stage: "extraction" }),
      file("file:progress", "a", { processing_stage: "embedding", progress: 0.42, current: 21, total: 50, unit: "chunks" }),
      file("file:processing", "b", { processing_stage: "storing" }),
    ]);
    await view.shows(view.row("a.txt"), /Embedding.*42 %.*21 of 50 chunks/);
    const bar = view.row("a.txt").getByRole("progressbar", { name: "Progress of a.txt" });
    assert.equal(await bar.getAttribute("aria-valuetext"), "Embedding, 42 %, 21 of 50 chunks, stage 3 of 4");
    await hub.publish(id, [
      file("file:completed", "a", { results: { chunks_created: 50, processing_duration: 1.25 } }),
      file("file:failed", "b", { error: { type: "ParseError", message: "no text in page 7", stage: "extraction", retryable: false } }),
      file("file:skipped", "c", { reason: "unchanged" }),
    ]);
    await view.agrees(hub, id);
    await view.shows(view.row("a.txt"), /50 chunks/);
    await view.shows(view.row("b.txt"), /ParseError in extraction.*no text in page 7/);
    await view.shows(view.causes, /ParseError in extraction/);
    assert.deepEqual(await view.counts(), { all: 4, processing: 0, queued: 1, completed: 1, failed: 1, skipped: 1 });
    await view.shows(view.progress, /3 of 4 · 75 %/);

    await view.filter("Failed").click();
    await view.lists(["b.txt"]);
    assert.equal(await view.filter("Failed").getAttribute("aria-pressed"), "true");
    await view.filter("All").click();
    await view.search.fill("page 7");
    await view.lists(["b.txt"]);
    await view.row("b.txt").click();
    const sheet = view.sheet("b.txt");
    await view.shows(sheet, /ParseError in extraction.*no text in page 7/);
    await view.shows(sheet.getByRole("list", { name: "History of b" }), /Queued.*Storing.*Failed/);
    await view.page.keyboard.press("Escape");
    await sheet.waitFor({ state: "detached" });
    await view.search.fill("");
    await hub.publish(id, [{ event: "file:deleted", data: { file: { name: "a.txt", id: "a" } } }, { event: "pipeline:offline" }]);
    await view.agrees(hub, id);
    await view.main.getByText(/^Offline/).waitFor();

    // A cause leads to its files.
    await view.causes.getByRole("button", { name: /ParseError/ }).click();
    await view.lists(["b.txt"]);
    await view.assertClean();
  } finally {
    await view.close();
  }
});

test("the sheet of a file goes on while it is open, and says what was before", { timeout: 90_000 }, async () => {
  const id = fresh("sheet");
  await hub.open(id);
  await hub.publish(id, [file("file:queued", "a"), file("file:processing", "a", { processing_stage: "extraction" })]);
  const view = await openPage(browser, hub.url, { hash: `${select(id)}&file=a` });
  try {
    const sheet = view.sheet("a.txt");
    const history = sheet.getByRole("list", { name: "History of a" });
    await view.shows(history, /Queued.*Extraction/);
    await hub.publish(id, file("file:progress", "a", { processing_stage: "embedding", progress: 0.5, current: 5, total: 10, unit: "chunks" }));
    await view.shows(history, /Queued.*Extraction.*Embedding.*50 %.*5 of 10 chunks/);
    await hub.publish(id, file("file:completed", "a", { results: { chunks_created: 10, processing_duration: 2 } }));
    await view.shows(history, /Embedding.*Completed.*10 chunks/);
    await view.shows(sheet, /Completed.*Chunks10/);
    assert.equal(await history.getByRole("listitem").count(), 4, "every event once");
    await view.assertClean();
  } finally {
    await view.close();
  }
});

test("names from outside stay text, whatever they are made of", { timeout: 120_000 }, async () => {
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
  const assertTame = async (view) => {
    const found = await view.page.evaluate(() => ({
      caught: globalThis.caught,
      made: document.querySelectorAll("main img, main script, main style, main u, main i:not([data-state], [data-is]), main b b, bdi *, [onerror], [onload]").length,
      titles: [...document.querySelectorAll("bdi, h1, h2, title")].map(({ textContent }) => textContent),
    }));
    assert.equal(found.caught, undefined);
    assert.equal(found.made, 0, "no name became an element");
    for (const title of found.titles) assert.doesNotMatch(title, /[\u0000-\u001f\u202e]/, "nothing rearranges the line");
    return found.titles;
  };
  for (const width of [1280, 360]) {
    const view = await openPage(browser, hub.url, { hash: select(id), width, height: 2_400 });
    try {
      await view.shows(view.title, new RegExp(`^${id}$`));
      await until(async () => (await view.rows()).length === names.length, "every row");
      const titles = await assertTame(view);
      for (const name of [names[0], names[1], "__proto__"]) assert.ok(titles.includes(name), name);
      await view.assertNoOverflow("the list");
      for (const name of [names[0], names[8]]) {
        await view.row(name).click();
        await view.sheet(name).getByRole("listitem").first().waitFor();
        await view.assertNoOverflow("the sheet");
        await assertTame(view);
        await view.page.keyboard.press("Escape");
        await view.sheet(name).waitFor({ state: "detached" });
      }
      await view.assertClean();
    } finally {
      await view.close();
    }
  }
  await hub.forget(id);
});

test("without the socket it polls, shows the same, and goes back to the socket", { timeout: 150_000 }, async () => {
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
    await view.connected("polling");
    const pill = view.link.getByRole("button", { name: /^Polling/ });
    await pill.click();
    await view.shows(view.link.getByRole("paragraph"), /The same updates are fetched by HTTP, with nothing lost/);
    await view.page.keyboard.press("Escape");
    assert.ok(proxy.refused > 0);
    for (let i = 0; i < 4; i += 1) await more();
    await view.agrees(hub, id);

    // Back, while events go on.
    proxy.allow();
    await until(async () => { await more(); return n >= 10 || (await view.connection()) === "websocket"; }, "the socket", 40);
    await view.connected("websocket", 60);
    await view.agrees(hub, id);
    const polls = proxy.requests.filter((path) => path.startsWith("/api/pipelines/")).length;
    await more();
    await view.agrees(hub, id);
    assert.equal(proxy.requests.filter((path) => path.startsWith("/api/pipelines/")).length, polls, "the polls have ended");

    // And away again, in the middle.
    proxy.refuse();
    await more();
    await view.connected("polling");
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

test("a hub that is killed is missed, what was known stays, and it is found again with what it stored", { timeout: 150_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), "ragpulse-browser-"));
  const store = ["--store", `sqlite:${join(folder, "log.db")}`];
  let own = await openHub(...store);
  await own.open("p");
  await own.publish("p", [file("file:processing", "old"), file("file:completed", "older")]);
  const view = await openPage(browser, own.url);
  try {
    await view.connected("websocket");
    await view.agrees(own, "p");
    const before = await view.rows();
    await own.program.stop("SIGKILL");
    await view.connected("waiting");
    await view.shows(view.link.getByRole("status"), /Hub not reached/);
    assert.deepEqual(await view.rows(), before, "what was known stays");
    await view.link.getByRole("button", { name: /^Hub not reached/ }).click();
    await view.shows(view.link.getByRole("paragraph"), /^The hub could not be reached.*tried again by itself/);
    await view.link.getByRole("button", { name: "Try again now" }).waitFor();
    own = await openHub("--listen", new URL(own.url).host, ...store);
    await own.publish("p", [file("file:completed", "old"), file("file:queued", "new")]);
    await view.connected("websocket");
    await view.agrees(own, "p");
    await own.publish("p", file("file:completed", "new"));
    await view.agrees(own, "p");
    await view.assertClean(isAway);
  } finally {
    await view.close();
    await own.program.stop("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  }
});

test("a hub that comes back without memory is found again, and the old state goes", { timeout: 150_000 }, async () => {
  const first = await openHub();
  const address = new URL(first.url).host;
  await first.open("p");
  await first.publish("p", [file("file:processing", "old"), file("file:completed", "older")]);
  const view = await openPage(browser, first.url);
  let second;
  try {
    await view.connected("websocket");
    await view.agrees(first, "p");
    await first.program.stop("SIGKILL");
    await view.connected("waiting");
    second = await openHub("--listen", address);
    await view.connected("websocket");
    // The pipeline shows again with its first event.
    await until(async () => (await view.rows()).length === 0, "the old state to go", 30);
    await second.open("p");
    await view.agrees(second, "p");
    await second.publish("p", [file("file:queued", "new"), file("file:failed", "bad")]);
    await view.connected("websocket");
    await view.agrees(second, "p");
    await second.publish("p", file("file:completed", "new"));
    await view.agrees(second, "p");
    await view.assertClean(isAway);
  } finally {
    await view.close();
    await second?.program.stop();
    await first.program.stop("SIGKILL");
  }
});

test("several pipelines: each can be chosen, and none disturbs the other", { timeout: 90_000 }, async () => {
  const own = await openHub();
  const ids = ["drive-pipeline", "local-pipeline"];
  await own.open(ids[0], "google_drive");
  await own.open(ids[1], "local_files");
  for (const id of ids) await own.publish(id, [file("file:processing", `${id}-1`), file("file:completed", `${id}-2`)]);
  const view = await openPage(browser, own.url);
  const listed = view.pipelines.getByRole("listitem");
  try {
    for (const id of [...ids, ids[0]]) {
      const button = view.pipelines.getByRole("button", { name: new RegExp(`^${id}`) });
      await button.click();
      await view.shows(view.title, new RegExp(`^${id}$`));
      assert.equal(await button.getAttribute("aria-current"), "true");
      await view.agrees(own, id);
    }
    // What the other does is told in the list, and changes nothing else.
    await own.publish(ids[1], file("file:failed", "x"));
    await view.shows(view.pipelines.getByRole("button", { name: new RegExp(`^${ids[1]}`) }), /1 failed/);
    await view.agrees(own, ids[0]);
    await own.open("third");
    await until(async () => (await listed.count()) === 3, "one that comes later", 30);
    assert.equal(await view.title.textContent(), ids[0]);
    await own.forget("third");
    await own.forget(ids[1]);
    await until(async () => (await listed.count()) <= 1 && (await view.title.textContent()) === ids[0], "the forgotten ones to go", 30);
    await view.assertClean();
  } finally {
    await view.close();
    await own.program.stop();
  }
});
