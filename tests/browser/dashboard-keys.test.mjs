// The page at / by the keyboard alone: from the skip link to a file's timeline and back, the help, the single keys.
import assert from "node:assert/strict";
import { test } from "node:test";

import { range } from "../js/support/clients.mjs";
import { file, startHub } from "../js/support/program.mjs";
import { until } from "../js/support/wait.mjs";
import { openPage, startBrowser } from "./support/browser.mjs";

const hub = await startHub();
const browser = await startBrowser();
const LAST = 30;
const name = (n) => `file-${n}.txt`;

await hub.open("archive", "google_drive");
await hub.publish("archive", file("file:completed", "one-and-only"));
await hub.open("documents");
await hub.publish("documents", range(1, LAST).flatMap((n) => [
  file("file:queued", `file-${n}`),
  file("file:processing", `file-${n}`, { processing_stage: "extraction" }),
  n % 5 ? file("file:completed", `file-${n}`, { results: { chunks_created: n } }) : file("file:failed", `file-${n}`),
]));

/** Opens the page with its files listed; nothing has the focus yet. */
async function opened(options) {
  const view = await openPage(browser, hub.url, { hash: "#pipeline=documents", ...options });
  await view.row(name(LAST)).waitFor();
  return view;
}

/** The name of the file that the arrow keys are at. */
const active = (view) => view.page.evaluate(() => {
  const grid = document.querySelector('[role="grid"]');
  return document.getElementById(grid.getAttribute("aria-activedescendant"))?.querySelector("bdi")?.textContent ?? null;
});
/** Waits until the focus is where it should be. */
async function focused(view, what, isRight) {
  let focus;
  await until(async () => isRight((focus = await view.focus())), () => `the focus to be on ${what}; it is on ${JSON.stringify(focus)}`);
}
const onGrid = (view) => focused(view, "the list of files", ({ role, name }) => role === "grid" && name === "Files");

test("from the skip link to a file's timeline and back, and the focus is where it was", { timeout: 90_000 }, async () => {
  const view = await opened();
  const { keyboard } = view.page;
  try {
    await keyboard.press("Tab");
    const link = await view.focus();
    assert.deepEqual([link.role, link.name], ["a", "Skip to the files"]);
    const box = await view.page.getByRole("link", { name: "Skip to the files" }).boundingBox();
    assert.ok(box.y >= 0, "it can be seen while it has the focus");
    await keyboard.press("Enter");
    await focused(view, "the files", ({ id }) => id === "files");
    // Past the filters and the search, each of which shows that it has the focus.
    const stops = [];
    for (let focus; focus?.role !== "grid"; ) {
      await keyboard.press("Tab");
      focus = await view.focus();
      stops.push(focus.name || focus.role);
      assert.ok(focus.isMarked, `nothing shows that the focus is on ${focus.role} ${focus.name}`);
      assert.ok(stops.length <= 10, stops.join());
    }
    assert.deepEqual(stops.map((stop) => stop.split(" ")[0]), ["All", "Processing", "Queued", "Completed", "Failed", "Skipped", "Search", "Files"]);

    assert.equal(await active(view), name(LAST), "what ended last comes first");
    await keyboard.press("ArrowDown");
    await keyboard.press("ArrowDown");
    await until(async () => (await active(view)) === name(LAST - 2), "the third row");
    await keyboard.press("Enter");
    const sheet = view.sheet(name(LAST - 2));
    await view.shows(sheet.getByRole("list", { name: `History of file-${LAST - 2}` }), /Queued.*Extraction.*Completed.*28 chunks/);
    await focused(view, "the sheet", ({ dialog }) => dialog === "sheet");
    // The page below is out of reach while it is open.
    for (let n = 0; n < 6; n += 1) {
      await keyboard.press("Tab");
      const { dialog, role } = await view.focus();
      assert.ok(dialog === "sheet" || role === "body", `${dialog} ${role}`);
    }
    await keyboard.press("Escape");
    await sheet.waitFor({ state: "detached" });
    await onGrid(view);
    assert.equal(await active(view), name(LAST - 2), "and at the same file");
    // The same with its button and the space bar.
    await keyboard.press("Space");
    await sheet.getByRole("button", { name: "Close" }).press("Enter");
    await sheet.waitFor({ state: "detached" });
    await onGrid(view);
    await view.assertClean();
  } finally {
    await view.close();
  }
});

test("every stop of the Tab key has a name, shows the focus, and can be left again", { timeout: 90_000 }, async () => {
  for (const width of [1280, 360]) {
    const view = await opened({ width });
    try {
      const stops = [];
      for (let n = 0; n < 40; n += 1) {
        await view.page.keyboard.press("Tab");
        const { role, name, isMarked } = await view.focus();
        if (role === "body") break;
        assert.ok(name || role === "input", `${role} has no name`);
        assert.ok(isMarked, `nothing shows that the focus is on ${role} ${name}`);
        stops.push(`${role} ${name}`);
      }
      assert.match(stops.at(-1), /^grid Files$/, `the list is the last stop: ${stops.join("; ")}`);
      assert.ok(stops.some((stop) => /Help and keys/.test(stop)) && stops.some((stop) => /Theme/.test(stop)), stops.join("; "));
      await view.page.keyboard.press("Shift+Tab");
      await view.page.keyboard.press("Shift+Tab");
      assert.notEqual((await view.focus()).role, "grid");
      await view.assertClean();
    } finally {
      await view.close();
    }
  }
});

test("the help opens by its key and its button, and gives the focus back", { timeout: 90_000 }, async () => {
  const view = await opened();
  const { keyboard } = view.page;
  try {
    await view.grid.focus();
    await keyboard.press("?");
    await view.help.waitFor();
    await focused(view, "the help", ({ dialog }) => dialog === "help");
    await keyboard.press("t");
    assert.equal(await view.page.locator("html[data-theme]").count(), 0, "no key works through it");
    await keyboard.press("Escape");
    await view.help.waitFor({ state: "detached" });
    await onGrid(view);
    const button = view.button("Help and keys");
    await button.press("Enter");
    await view.help.waitFor();
    await view.help.getByRole("button", { name: "Close" }).click();
    await view.help.waitFor({ state: "detached" });
    await focused(view, "the button", ({ name }) => name === "Help and keys");
    const [licences] = await Promise.all([
      view.page.context().waitForEvent("page"),
      button.click().then(() => view.help.getByRole("link", { name: /^Licences/ }).click()),
    ]);
    await licences.waitForLoadState();
    assert.match(await licences.evaluate(() => document.body.textContent), /MIT License/);
    await view.assertClean();
  } finally {
    await view.close();
  }
});

test("single keys search, filter, and go through the pipelines; they can be switched off for good", { timeout: 90_000 }, async () => {
  const view = await opened();
  const { keyboard } = view.page;
  try {
    await keyboard.press("/");
    await focused(view, "the search", ({ role }) => role === "input");
    await keyboard.type("file-5?");
    assert.equal(await view.search.inputValue(), "file-5?", "what is typed is typed");
    await view.search.fill("");
    await view.grid.focus();
    await keyboard.press("5");
    await view.lists([5, 10, 15, 20, 25, 30].map(name));
    assert.equal(await view.filter("Failed").getAttribute("aria-pressed"), "true");
    await keyboard.press("1");
    await until(async () => (await view.filter("All").getAttribute("aria-pressed")) === "true", "all files");
    await keyboard.press("]");
    await view.shows(view.title, /^archive$/);
    await keyboard.press("[");
    await view.shows(view.title, /^documents$/);
    await keyboard.press("t");
    await view.button("Theme: light").waitFor();

    await keyboard.press("?");
    await view.help.getByRole("checkbox", { name: /Single keys/ }).uncheck();
    await keyboard.press("Escape");
    await view.help.waitFor({ state: "detached" });
    for (const again of [false, true]) {
      if (again) await view.page.reload();
      await view.row(name(LAST)).waitFor();
      for (const key of ["t", "]", "?", "/", "5"]) await keyboard.press(key);
      assert.equal(await view.help.count(), 0);
      assert.equal(await view.title.textContent(), "documents");
      await view.button("Theme: light").waitFor();
      assert.equal(await view.filter("All").getAttribute("aria-pressed"), "true");
    }
    await view.assertClean();
  } finally {
    await view.close();
  }
});
