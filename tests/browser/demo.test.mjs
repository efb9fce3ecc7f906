// `ragpulse demo` over 2,000 files, seen on its page.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Hub, Program } from "../js/support/program.mjs";
import { until } from "../js/support/wait.mjs";
import { startBrowser, openPage } from "./support/browser.mjs";
import { measured } from "./support/harness.mjs";
import { library } from "./support/library.mjs";

const ID = "local-files-pipeline";
const browser = await startBrowser();

test("2,000 files: the page stays live throughout, and no file is left as being processed", { timeout: 240_000 }, async () => {
  const documents = await library(2_000);
  const demo = new Program(["demo", documents.root, "--listen", "127.0.0.1:0"]);
  const views = [];
  try {
    const [, url] = await demo.line(/dashboard\s+(http:\/\/[^/]+)\//);
    const hub = new Hub(url, demo);
    const view = await openPage(browser, url);
    views.push(view);
    await view.progress.waitFor({ timeout: 60_000 });
    // The page's own clock: how long it went at most without drawing, and how often the figure of finished files moved.
    await view.page.evaluate(() => {
      const seen = { longest: 0, last: performance.now(), moves: 0, text: "", frames: 0 };
      globalThis.seen = seen;
      const frame = () => {
        const now = performance.now();
        seen.longest = Math.max(seen.longest, now - seen.last);
        seen.last = now;
        seen.frames += 1;
        const textContent = document.querySelector('section[aria-label="Progress"]')?.textContent ?? "";
        if (textContent !== seen.text) seen.moves += 1;
        seen.text = textContent;
        requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
    });
    const ended = ({ all, queued, processing }) => all - queued - processing;
    let behind = 0;
    const state = await until(
      async () => {
        const [before, shown] = [await hub.state(ID), await view.counts()];
        if (!before) return false;
        const { counts } = before;
        const done = counts.completed + counts.failed + counts.skipped + counts.cancelled;
        // What the page shows was asked for after the hub's state, so it is at least as far.
        behind = Math.max(behind, done - ended(shown));
        return done >= 2_000 && counts.queued + counts.processing === 0 && before;
      },
      "every file to end",
      180,
    );
    await until(async () => ended(await view.counts()) === 2_000, "the page to show it", 15);
    const counts = await view.counts();
    const { all, ...shown } = counts;
    assert.equal(all, 2_000);
    assert.deepEqual({ cancelled: 0, ...shown }, { ...state.counts });
    assert.equal(shown.processing + shown.queued, 0);
    assert.deepEqual([shown.failed, shown.skipped], [documents.broken, documents.skipped], "each has its true end");
    const seen = await view.page.evaluate(() => globalThis.seen);
    measured(`ragpulse demo, 2,000 files: the figure moved ${seen.moves} times in ${seen.frames} frames, longest ${Math.round(seen.longest)} ms without one, at most ${behind} files behind`);
    assert.ok(seen.moves >= 5, `the figure moved ${seen.moves} times`);
    assert.ok(seen.longest < 4_000, `for ${seen.longest} ms nothing could be drawn`);
    assert.equal(await view.connection(), "websocket");

    // A change while the page looks on.
    await documents.write("live/just-written.md", "# Just written\n\nWhile the page looks on.\n");
    await until(async () => (await view.counts()).completed === shown.completed + 1, "the new file", 30);
    await view.assertClean();
    for (const width of [1280, 360]) {
      const other = await openPage(browser, url, { width, height: 780 });
      views.push(other);
      await until(async () => (await other.counts()).all === 2_001, "the state");
      await other.assertNoOverflow("the list");
      const [name] = await other.names();
      await other.row(name).first().click();
      await other.sheet(name).getByRole("listitem").first().waitFor();
      await other.assertNoOverflow("the sheet");
      await other.screenshot(`demo-file-${width}`);
      await other.assertClean();
    }
  } finally {
    for (const view of views) await view.close();
    await demo.stop("SIGINT");
    await documents.remove();
  }
});
