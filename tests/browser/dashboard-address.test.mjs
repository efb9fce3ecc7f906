// What the page at / remembers, and where: the view in its address, the theme in the browser, a token in the tab.
import assert from "node:assert/strict";
import { test } from "node:test";

import { range } from "../js/support/clients.mjs";
import { file, startHub } from "../js/support/program.mjs";
import { until } from "../js/support/wait.mjs";
import { openPage, startBrowser } from "./support/browser.mjs";
import { startProxy } from "./support/proxy.mjs";

const hub = await startHub();
const browser = await startBrowser();
await hub.open("other", "google_drive");
await hub.publish("other", range(1, 3).map((n) => file("file:queued", `waiting-${n}`)));
await hub.open("documents");
await hub.publish("documents", range(1, 30).map((n) => (n % 3 ? file("file:completed", `file-${n}`) : file("file:failed", `file-${n}`))));
const all = range(1, 30).map((n) => `file-${n}.txt`);
const failed = all.filter((_, n) => n % 3 === 2);

test("a view is in the address: it can be shared, and the back button leads through it", { timeout: 120_000 }, async () => {
  const view = await openPage(browser, hub.url, { height: 2_000, hash: "#pipeline=other" });
  const { page } = view;
  try {
    await view.shows(view.title, /^other$/);
    await view.pipelines.getByRole("button", { name: /^documents/ }).click();
    await view.lists(all);
    await view.filter("Failed").click();
    await view.lists(failed);
    await view.search.fill("file-2");
    await view.lists(["file-21.txt", "file-24.txt", "file-27.txt"]);
    await view.row("file-24.txt").click();
    const shared = async (one) => {
      await view.shows(one.title, /^documents$/);
      await one.sheet("file-24.txt").getByRole("listitem").first().waitFor();
      await one.lists(["file-21.txt", "file-24.txt", "file-27.txt"]);
      assert.equal(await one.page.locator('[role="searchbox"], [type="search"][aria-label^="Search name"]').inputValue(), "file-2");
    };
    await shared(view);
    const link = new URL(page.url());
    assert.deepEqual(Object.fromEntries(new URLSearchParams(link.hash.slice(1))), { pipeline: "documents", state: "failed", q: "file-2", file: "file-24" });

    // Somebody else opens it: the same is there, and closing the file stays on the page.
    const other = await openPage(browser, hub.url, { hash: link.hash, height: 2_000 });
    await shared(other);
    await other.page.keyboard.press("Escape");
    await other.sheet("file-24.txt").waitFor({ state: "detached" });
    assert.equal(await other.filter("Failed").getAttribute("aria-pressed"), "true");
    await other.lists(["file-21.txt", "file-24.txt", "file-27.txt"]);
    assert.equal(new URL(other.page.url()).pathname, "/");
    await other.page.reload();
    await other.lists(["file-21.txt", "file-24.txt", "file-27.txt"]);
    await other.assertClean();
    await other.close();

    await page.goBack();
    await view.sheet("file-24.txt").waitFor({ state: "detached" });
    await view.lists(["file-21.txt", "file-24.txt", "file-27.txt"]);
    await page.goBack();
    await view.lists(all);
    assert.equal(await view.search.inputValue(), "");
    await page.goBack();
    await view.shows(view.title, /^other$/);
    for (let n = 0; n < 3; n += 1) await page.goForward();
    await shared(view);
    await page.goBack();
    await view.sheet("file-24.txt").waitFor({ state: "detached" });
    await view.assertClean();
  } finally {
    await view.close();
  }
});

test("an address that says what is not there shows something, and says what is missing", { timeout: 60_000 }, async () => {
  const view = await openPage(browser, hub.url, { hash: "#pipeline=documents&state=odd&q=%00&file=nobody&more=1&=&%%%" });
  try {
    await view.shows(view.sheet("nobody"), /no such file now/);
    await view.shows(view.sheet("nobody"), /keeps no history of this file/);
    await view.page.keyboard.press("Escape");
    await view.sheet("nobody").waitFor({ state: "detached" });
    assert.equal(await view.filter("All").getAttribute("aria-pressed"), "true");
    await view.page.evaluate(() => (location.hash = "#pipeline=gone"));
    await view.shows(view.title, /^There is no pipeline “gone”$/);
    await view.button("Show what there is").click();
    await view.shows(view.title, /^documents$|^other$/);
    await view.assertClean();
  } finally {
    await view.close();
  }
});

test("the theme follows the system until another is chosen, which is remembered", { timeout: 90_000 }, async () => {
  const view = await openPage(browser, hub.url, { dark: true });
  const { page } = view;
  const isDark = () => page.evaluate(() => {
    const channels = getComputedStyle(document.body).backgroundColor.match(/[\d.]+/g).slice(0, 3).map(Number);
    return Math.max(...channels) < 128;
  });
  const is = async (name, dark) => {
    await view.button(`Theme: ${name}`).waitFor();
    await until(async () => (await isDark()) === dark, `${name} to be ${dark ? "dark" : "light"}`);
  };
  const next = async (from) => view.button(`Theme: ${from}`).click();
  try {
    await is("as the system", true);
    await page.emulateMedia({ colorScheme: "light" });
    await is("as the system", false);
    await page.emulateMedia({ colorScheme: "dark" });
    await next("as the system");
    await is("light", false);
    await page.reload();
    await is("light", false);
    await next("light");
    await is("dark", true);
    await page.emulateMedia({ colorScheme: "light" });
    await page.reload();
    await is("dark", true);
    await next("dark");
    await is("as the system", false);
    await page.reload();
    await is("as the system", false);
    await view.assertClean();
  } finally {
    await view.close();
  }
});

test("a hub that wants a token is asked for one: it travels in a header, lives in the tab, and a wrong one is told", { timeout: 120_000 }, async () => {
  const proxy = await startProxy(hub.url);
  proxy.token = "s3cret-of-this-test";
  // What a socket says inside is not understood by the proxy, so there is none until it may pass.
  proxy.refuse({ status: 401 });
  const view = await openPage(browser, proxy.url, { hash: "#pipeline=documents", height: 2_000 });
  const { page } = view;
  const enter = async (token) => {
    await view.token.getByLabel("Token", { exact: true }).fill(token);
    await view.token.getByRole("button", { name: "Connect" }).click();
  };
  try {
    await view.shows(view.title, /^This hub asks for a token$/);
    assert.ok(proxy.unauthorized > 0);
    const focus = await view.focus();
    assert.equal(focus.role, "input", "one can type at once");
    assert.ok(await view.token.getByRole("button", { name: "Connect" }).isDisabled());
    await enter("not-this-one");
    await view.shows(view.token.getByRole("alert"), /^This hub wants a token\.$/);
    await enter(proxy.token);
    await view.shows(view.title, /^documents$/);
    await view.connected("polling");
    await view.lists(all);
    await view.token.waitFor({ state: "detached" });
    proxy.allow();
    await view.connected("websocket", 60);

    // It stays in this tab, and nowhere else.
    await page.reload();
    await view.lists(all);
    assert.equal(await view.token.count(), 0);
    assert.ok(!page.url().includes(proxy.token));
    assert.ok(proxy.requests.every((path) => !path.includes("s3cret")), "no address holds it");
    assert.ok(!(await page.evaluate(() => JSON.stringify({ ...localStorage }) + document.cookie)).includes("s3cret"));
    const other = await page.context().newPage();
    await other.goto(`${proxy.url}/`);
    await other.getByRole("heading", { level: 1 }).waitFor();
    assert.equal(await other.evaluate(() => sessionStorage.length), 0, "another tab does not have it");
    await other.close();
    await view.button("Sign out").click();
    await until(async () => !(await page.evaluate(() => JSON.stringify({ ...sessionStorage }))).includes("s3cret"), "it to be forgotten");
    await view.assertClean((error) => /401|WebSocket connection to .* failed/.test(error));
  } finally {
    await view.close();
  }
});
