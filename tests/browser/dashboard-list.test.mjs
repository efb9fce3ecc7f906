// The list of files at / with 10,000 of them: scrolled by the wheel and by keys to its end, searched, filtered.
//
// A pipeline's state lists those files only that are open or ended last; the others come in pages while somebody scrolls.
// How long a task may block is asserted as in numbers.test.mjs: on the best of two or three tries, and ten times as wide where the
// machine was busy with other things in each.
import assert from "node:assert/strict";
import { test } from "node:test";

import { range } from "../js/support/clients.mjs";
import { file, fresh, startHub } from "../js/support/program.mjs";
import { until } from "../js/support/wait.mjs";
import { openPage, startBrowser } from "./support/browser.mjs";
import { measured } from "./support/harness.mjs";
import { measure } from "./support/quiet.mjs";

const FILES = 10_000;
const FAILED_EVERY = 8;
const FAILED = FILES / FAILED_EVERY;
const RUNNING = 20;
const LONG_MS = 200;
const MOST_ROWS = 200;
const WIDTH = 1280;
const HEIGHT = 2_400;
/** Less than the window and the rows that are drawn beyond it, so that no row is passed over. */
const WHEEL_PX = 2_700;

const hub = await startHub();
const browser = await startBrowser();
const id = fresh("many");
const nameOf = (n) => `file-${String(n).padStart(5, "0")}`;
const all = range(1, FILES).map((n) => `${nameOf(n)}.txt`);
const isFailed = (n) => n % FAILED_EVERY === 0;

await hub.open(id);
for (let at = 0; at < FILES; at += 500) {
  await hub.publish(id, range(at + 1, at + 500).flatMap((n) => [
    file("file:processing", nameOf(n), { processing_stage: "extraction" }),
    // The last ones are still being processed.
    ...(n > FILES - RUNNING ? [] : isFailed(n)
      ? [file("file:failed", nameOf(n), { error: { type: "ParseError", message: `no text in ${nameOf(n)}`, stage: "extraction", retryable: false } })]
      : [file("file:completed", nameOf(n), { results: { chunks_created: n % 40, processing_duration: 0.5 } })]),
  ]));
}
const running = range(FILES - RUNNING + 1, FILES);
const failed = FAILED - running.filter(isFailed).length;

/** Opens the page, and notes which pages of files it is given, and every file that is ever in a row. */
async function opened(hash = "") {
  const view = await openPage(browser, hub.url, { width: WIDTH, height: HEIGHT, hash: `#pipeline=${id}${hash}` });
  view.pages = [];
  view.page.on("response", async (response) => {
    const { pathname, searchParams } = new URL(response.url());
    if (pathname === `/api/pipelines/${id}/files`) view.pages.push({ query: searchParams.toString(), ...(await response.json()) });
  });
  await view.grid.getByRole("row").nth(1).waitFor();
  await view.page.evaluate(() => {
    const seen = { names: new Set(), most: 0 };
    globalThis.seen = seen;
    const look = () => {
      const rows = document.querySelectorAll('[role="grid"] [role="row"]');
      seen.most = Math.max(seen.most, rows.length);
      for (const row of rows) {
        const name = row.querySelector("bdi");
        if (name) seen.names.add(name.textContent);
      }
    };
    new MutationObserver(look).observe(document.querySelector('[role="grid"]'), { childList: true, subtree: true, characterData: true });
    look();
  });
  return view;
}

const seenOf = (view) => view.page.evaluate(() => ({ names: [...globalThis.seen.names], most: globalThis.seen.most, elements: document.querySelectorAll("*").length }));
const longSince = (view, at) => view.page.evaluate((at) => globalThis.long.filter((task) => task.at >= at).map(({ duration }) => Math.round(duration)), at);

/** Waits until every row in the window has its file; gives how far down the page is, and whether that is the end. */
const settled = (view) => view.page.evaluate(async () => {
  const { scrollingElement: page } = document;
  const frame = () => new Promise(requestAnimationFrame);
  const isWaiting = () => [...document.querySelectorAll('[role="grid"] [role="row"]')].some((row) => {
    const { top, bottom } = row.getBoundingClientRect();
    return row.querySelectorAll('[role="gridcell"]').length === 1 && bottom > 0 && top < innerHeight;
  });
  for (let last = -1; last !== page.scrollTop || isWaiting(); await frame(), await frame()) last = page.scrollTop;
  return { top: page.scrollTop, isEnd: page.scrollTop + innerHeight >= page.scrollHeight - 1 };
});

/** The row that the keys are at: its place, its file's name, whether it can be seen. */
const active = (view) => view.page.evaluate(() => {
  const row = document.getElementById(document.querySelector('[role="grid"]').getAttribute("aria-activedescendant"));
  const { top, bottom } = row?.getBoundingClientRect() ?? {};
  return { place: Number(row?.getAttribute("aria-rowindex")) - 1, name: row?.querySelector("bdi")?.textContent ?? null, isSeen: top >= 0 && bottom <= innerHeight };
});

/** What the pages gave, each page once, the last one saying that it is. */
function assertPages(view, expected) {
  const asked = view.pages.map(({ query }) => query);
  assert.deepEqual(asked, [...new Set(asked)], "each page was asked for once");
  assert.equal(view.pages.filter(({ next_after }) => next_after === undefined).length, 1, "up to the last one");
  const given = new Set(view.pages.flatMap(({ files }) => files.map(({ name }) => name)));
  assert.equal(given.size, expected);
}

test(`${FILES} files scrolled to the end by the wheel: every one is shown, no task is over ${LONG_MS} ms`, { timeout: 400_000 }, async () => {
  const { result: { long }, wasBusy } = await measure(async (n) => {
    const view = await opened();
    try {
      const listed = (await hub.state(id)).files.length;
      assert.ok(listed < FILES / 5, `the state lists ${listed} of them`);
      const began = await view.page.evaluate(() => performance.now());
      await view.page.mouse.move(WIDTH / 2, HEIGHT / 2);
      let turns = 0;
      for (let at = await settled(view); !at.isEnd; turns += 1) {
        await view.page.mouse.wheel(0, WHEEL_PX);
        await until(async () => {
          const next = await settled(view);
          const moved = next.top > at.top || next.isEnd;
          if (moved) at = next;
          return moved;
        }, "the page to scroll", 30);
      }
      const took = (await view.page.evaluate(() => performance.now())) - began;
      const { names, most, elements } = await seenOf(view);
      const long = await longSince(view, began);
      assert.deepEqual(names.sort(), all, "every file was in a row");
      assert.ok(most < MOST_ROWS, `${most} rows in the page`);
      assertPages(view, FILES);
      await view.page.getByText("10,000 of 10,000 files", { exact: true }).waitFor();
      assert.equal(await view.grid.getAttribute("aria-rowcount"), String(FILES + 1));
      await view.assertClean();
      measured(
        `${FILES} files by the wheel, try ${n}: ${turns} turns in ${(took / 1000).toFixed(1)} s, ${view.pages.length} pages, at most ${most} rows and ` +
        `${elements} elements in the page; tasks over 50 ms: ${long.length}, longest ${Math.max(0, ...long)} ms`,
      );
      return { long };
    } finally {
      await view.close();
    }
  }, ({ long }) => Math.max(0, ...long) < LONG_MS, 2);
  assert.ok(Math.max(0, ...long) < (wasBusy ? 10 : 1) * LONG_MS, `${long}`);
});

test(`${FILES} files by the keyboard: a page, the end, the beginning; what is done to files does not move it`, { timeout: 120_000 }, async () => {
  const view = await opened();
  const { page } = view;
  try {
    await view.grid.focus();
    assert.equal((await active(view)).place, 1);
    await page.keyboard.press("PageDown");
    await until(async () => (await active(view)).place > 10, "a page down");
    await page.keyboard.press("ArrowDown");
    const { place } = await active(view);
    await page.keyboard.press("ArrowUp");
    await until(async () => (await active(view)).place === place - 1, "one up");
    // The end is there at once, before what is between has come.
    const began = await page.evaluate(() => performance.now());
    await page.keyboard.press("End");
    await until(async () => (await active(view)).place === FILES && (await active(view)).isSeen, "the end", 60);
    await settled(view);
    await until(async () => (await active(view)).name !== null, "the last file", 60);
    const took = (await page.evaluate(() => performance.now())) - began;
    const last = await active(view);
    const { most } = await seenOf(view);
    assert.ok(most < MOST_ROWS, `${most} rows in the page`);
    measured(`${FILES} files, End: the last one is there after ${took.toFixed(0)} ms, with ${view.pages.length} pages; at most ${most} rows in the page`);
    assertPages(view, FILES);

    // A file far above is begun anew, and changes its place: the keys stay at their file.
    const again = nameOf(FILES - RUNNING - 1);
    await hub.publish(id, file("file:processing", again, { processing_stage: "storing" }));
    await view.shows(view.filter("Processing"), new RegExp(`Processing ${RUNNING + 1}$`));
    await until(async () => (await active(view)).name === last.name, "the same file", 20);
    await page.keyboard.press("Enter");
    await view.sheet(last.name).getByRole("listitem").first().waitFor();
    await page.keyboard.press("Escape");
    await view.sheet(last.name).waitFor({ state: "detached" });
    assert.equal((await active(view)).name, last.name);
    await page.keyboard.press("Home");
    await until(async () => (await active(view)).place === 1 && (await active(view)).isSeen, "the beginning", 20);
    await hub.publish(id, file("file:completed", again, { results: { chunks_created: 1 } }));
    await view.shows(view.filter("Processing"), new RegExp(`Processing ${RUNNING}$`));
    assert.equal((await active(view)).place, 1);
    await view.assertClean();
  } finally {
    await view.close();
  }
});

test(`search and filter over ${FILES} files find what no state lists`, { timeout: 180_000 }, async () => {
  const view = await opened();
  const { page } = view;
  const listed = new Set((await hub.state(id)).files.map(({ name }) => name));
  const far = `${nameOf(777)}.txt`;
  assert.ok(!listed.has(far), "the hub has to be asked for it");
  try {
    const { result: { long }, wasBusy } = await measure(async (n) => {
      await view.search.fill("");
      await until(async () => (await view.rows()).length > 10, "all files again");
      const began = await page.evaluate(() => performance.now());
      await view.search.pressSequentially("e-00777");
      await view.lists([far]);
      const took = (await page.evaluate(() => performance.now())) - began;
      await page.getByText("1 of 1 files", { exact: true }).first().waitFor();
      const long = await longSince(view, began);
      measured(`search over ${FILES} files, try ${n}: found ${took.toFixed(0)} ms after the first key; tasks over 50 ms: ${long.length}, longest ${Math.max(0, ...long)} ms`);
      return { long };
    }, ({ long }) => Math.max(0, ...long) < LONG_MS);
    assert.ok(Math.max(0, ...long) < (wasBusy ? 10 : 1) * LONG_MS, `${long}`);
    await view.row(far).click();
    await view.shows(view.sheet(far).getByRole("list", { name: /^History/ }), /Extraction.*Completed/);
    await page.keyboard.press("Escape");
    await view.sheet(far).waitFor({ state: "detached" });

    await view.search.fill("nothing is called this");
    await page.getByText("No file matches “nothing is called this”.", { exact: true }).first().waitFor();
    await view.search.fill("");

    await view.filter("Failed").click();
    assert.match(await view.filter("Failed").textContent(), new RegExp(failed.toLocaleString("en-GB")));
    await until(async () => (await view.rows()).length > 10 && (await view.rows()).every(([, state]) => state === "failed"), "only failed files", 30);
    await page.evaluate(() => globalThis.seen.names.clear());
    await view.grid.focus();
    // A list that is drawn anew, as the search is still being emptied, begins at its top.
    await until(async () => {
      const { place, name } = await active(view);
      if (place !== failed) await page.keyboard.press("End");
      return place === failed && name !== null;
    }, `the last of ${failed} failed ones`, 60);
    await page.getByText(`${failed.toLocaleString("en-GB")} of ${failed.toLocaleString("en-GB")} files`, { exact: true }).first().waitFor();
    const { names, most } = await seenOf(view);
    assert.ok(names.every((name) => isFailed(Number(/\d+/.exec(name)[0]))), "only failed files were shown");
    assert.ok(most < MOST_ROWS, `${most} rows in the page`);

    // Both together.
    await view.search.fill("file-0123");
    await view.lists(range(1_230, 1_239).filter(isFailed).map((n) => `${nameOf(n)}.txt`));
    await view.assertClean();
  } finally {
    await view.close();
  }
});


test("a file that is deleted leaves the list, also where the pages of other files are in it", {
  timeout: 120_000,
}, async () => {
  const view = await opened();
  try {
    await view.grid.focus();
    await view.page.keyboard.press("End");
    await view.page.getByText("10,000 of 10,000 files", { exact: true }).first().waitFor();
    // Whether it is kept depends on when the page is drawn.
    for (const name of range(1, 8).map((n) => `new-${n}`)) {
      await hub.publish(id, file("file:processing", name));
      await view.page.getByText("10,001 of 10,001 files", { exact: true }).first().waitFor();
      await hub.publish(id, { event: "file:deleted", data: { file: { name: `${name}.txt`, id: name } } });
      await view.shows(view.filter("All"), /10,000/);
      await view.page.getByText("10,000 of 10,000 files", { exact: true }).first().waitFor({ timeout: 5_000 });
    }
  } finally {
    await view.close();
  }
});

test("files are found by their cause, also those that no state lists", { timeout: 120_000 }, async () => {
  const view = await opened();
  try {
    await view.search.fill("no text in file-0800");
    await view.lists([`${nameOf(8_000)}.txt`, `${nameOf(8_008)}.txt`], 10);
  } finally {
    await view.close();
  }
});
