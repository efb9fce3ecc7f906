// The page at / of a hub with keys: it asks for a token, says why one is not taken, keeps it only where it said, tells
// before it ends, and goes on without loss with the next one. The hub, its keys and its tokens are the real ones.
import assert from "node:assert/strict";
import { test } from "node:test";

import { range } from "../js/support/clients.mjs";
import { file } from "../js/support/program.mjs";
import { until } from "../js/support/wait.mjs";
import { assertAccessible } from "./support/axe.mjs";
import { openPage, startBrowser } from "./support/browser.mjs";
import { startKeyedHub } from "./support/keyed.mjs";
import { startProxy } from "./support/proxy.mjs";

const hub = await startKeyedHub();
const screen = await hub.key("screen", "viewer");
const browser = await startBrowser();
await hub.open("docs");
await hub.publish("docs", range(1, 6).flatMap((n) => [file("file:processing", `f${n}`, { processing_stage: "extraction" }), file(n % 3 ? "file:completed" : "file:failed", `f${n}`)]));

/** Everything that the page has said or kept, but for where tokens are to be kept. */
class Witness {
  said = [];
  addresses = [];
  sockets = 0;
  snapshots = 0;

  constructor(view) {
    this.view = view;
    const { page } = view;
    page.on("console", (message) => this.said.push(message.text(), message.location().url));
    page.on("pageerror", (error) => this.said.push(`${error.message} ${error.stack}`));
    page.on("request", (request) => this.addresses.push(request.url()));
    page.on("framenavigated", (frame) => this.addresses.push(frame.url()));
    page.on("websocket", (socket) => {
      this.sockets += 1;
      this.addresses.push(socket.url());
      socket.on("framereceived", ({ payload }) => {
        if (String(payload).includes('["pipeline:status"')) this.snapshots += 1;
      });
    });
  }

  /** None of these tokens stands in an address, in the console or in the page; `kept` says where they are stored. */
  async assertSecret(tokens, kept) {
    const { page } = this.view;
    const places = await page.evaluate(() => ({
      tab: JSON.stringify({ ...sessionStorage }), device: JSON.stringify({ ...localStorage }), cookie: document.cookie,
      address: location.href + JSON.stringify(history.state) + document.referrer, title: document.title,
      page: document.documentElement.outerHTML, resources: performance.getEntriesByType("resource").map(({ name }) => name).join(),
    }));
    for (const token of tokens) {
      for (const text of [...this.said, ...this.addresses]) assert.ok(!text.includes(token), `a token stands in ${text.replaceAll(token, "…")}`);
      const found = Object.entries(places).filter(([, text]) => text.includes(token)).map(([place]) => place);
      assert.deepEqual(found, token === kept?.token ? [kept.in] : [], "where the token is");
    }
  }
}

const isDenied = (error) => /401|WebSocket connection to .* failed/.test(error);

/** The page, and what it gives away. */
async function opened(url = hub.url, options = {}) {
  const view = await openPage(browser, url, { height: 2_000, ...options });
  return { view, witness: new Witness(view) };
}

/** Enters a token by the keyboard alone; the input has the focus already. */
async function enter(view, token) {
  await focused(view);
  await view.page.keyboard.press("ControlOrMeta+a");
  await view.page.keyboard.insertText(token);
  await view.page.keyboard.press("Enter");
}
const input = (view) => view.token.getByLabel("Token", { exact: true });
async function focused(view) {
  await until(() => input(view).evaluate((element) => element === document.activeElement).catch(() => false), "the focus to be in the form");
}

test("it asks, says why a token is not taken, shows everything with the right one, and forgets it", { timeout: 120_000 }, async () => {
  const { view, witness } = await opened();
  const { page } = view;
  const wrong = `rp_${"w".repeat(43)}`;
  try {
    await view.shows(view.title, /^This hub asks for a token$/);
    await focused(view);
    assert.equal(await view.token.getByRole("alert").textContent(), "", "nothing is wrong yet");
    assert.deepEqual(await input(view).evaluate(({ type, autocomplete, spellcheck }) => ({ type, autocomplete, spellcheck })), { type: "password", autocomplete: "off", spellcheck: false });
    assert.ok(await view.button("Connect").isDisabled());
    assert.equal(await view.button("Sign out").count(), 0);

    await enter(view, "two words");
    await view.shows(view.token.getByRole("alert"), /no spaces/);
    await enter(view, wrong);
    await view.shows(view.token.getByRole("alert"), /^This token is refused: this hub has no such key\. Bring another\.$/);
    await focused(view);
    assert.equal(await input(view).getAttribute("aria-invalid"), "true");
    await view.button("Show the token").click();
    assert.deepEqual([await input(view).getAttribute("type"), await input(view).inputValue()], ["text", wrong]);
    await view.button("Show the token").click();
    assert.equal(await input(view).getAttribute("type"), "password");
    assert.equal(await page.evaluate(() => sessionStorage.length + Number(localStorage.getItem("ragpulse.token") !== null)), 0, "a wrong one is not kept");

    // As it is copied from a header.
    await input(view).focus();
    await enter(view, `Authorization: Bearer ${screen}`);
    await view.shows(view.title, /^docs$/);
    await view.connected("websocket");
    await view.agrees(hub, "docs");
    await hub.publish("docs", file("file:queued", "live"));
    await view.agrees(hub, "docs");
    await view.row("f1.txt").click();
    await view.shows(view.sheet("f1.txt").getByRole("list", { name: "History of f1" }), /Extraction.*Completed/);
    await page.keyboard.press("Escape");
    await witness.assertSecret([screen, wrong], { token: screen, in: "tab" });

    // In this tab, as long as it is there; in no other.
    await page.reload();
    await view.connected("websocket");
    await view.agrees(hub, "docs");
    const other = await page.context().newPage();
    await other.goto(hub.url);
    await other.getByRole("form", { name: "Token for this hub" }).waitFor();
    await other.close();

    await view.button("Sign out").click();
    await view.token.waitFor();
    await focused(view);
    assert.equal(await view.grid.count(), 0, "nothing of the pipeline is left");
    assert.equal(await view.button("Sign out").count(), 0);
    await witness.assertSecret([screen, wrong], null);
    await until(async () => (await hub.connections()) === 0, "the socket to be closed");
    await page.reload();
    await view.token.waitFor();
    await view.assertClean(isDenied);
  } finally {
    await view.close();
  }
});

test("remembered on this device, other tabs have it too, until somebody signs out", { timeout: 90_000 }, async () => {
  const { view, witness } = await opened();
  const { page } = view;
  try {
    await view.token.getByRole("checkbox", { name: /^Remember on this device/ }).check();
    await input(view).focus();
    await enter(view, screen);
    await view.connected("websocket");
    await witness.assertSecret([screen], { token: screen, in: "device" });
    const other = await page.context().newPage();
    await other.goto(hub.url);
    await other.getByRole("grid", { name: "Files" }).waitFor();
    await other.getByRole("button", { name: "Sign out" }).click();
    await other.getByRole("form", { name: "Token for this hub" }).waitFor();
    // In all of them.
    await view.token.waitFor();
    assert.equal(await view.grid.count(), 0);
    await other.close();
    await witness.assertSecret([screen], null);
    await page.reload();
    await view.token.waitFor();
    await view.assertClean(isDenied);
  } finally {
    await view.close();
  }
});

test("where no socket is let through it polls with the token: state, history, what happens", { timeout: 90_000 }, async () => {
  const proxy = await startProxy(hub.url);
  proxy.refuse();
  const { view, witness } = await opened(proxy.url);
  try {
    await enter(view, screen);
    await view.connected("polling");
    await view.agrees(hub, "docs");
    await hub.publish("docs", file("file:processing", "polled"), file("file:failed", "polled"));
    await view.agrees(hub, "docs");
    await view.row("polled.txt").click();
    await view.shows(view.sheet("polled.txt").getByRole("list", { name: "History of polled" }), /Failed/);
    await witness.assertSecret([screen], { token: screen, in: "tab" });
    assert.ok(proxy.requests.every((path) => !path.includes(screen)));
    await view.assertClean(isDenied);
  } finally {
    await view.close();
  }
});

test("revoked while it is open: what was known stays, it asks, and goes on without loss and without a second state", { timeout: 120_000 }, async () => {
  const guest = await hub.key("guest", "viewer", "docs");
  const { view, witness } = await opened();
  const { page } = view;
  try {
    // The hub may still be reading the new key.
    await until(async () => (await hub.json("/api/rag-status")).status === 200 && (await fetch(`${hub.url}/api/rag-status`, { headers: { authorization: `Bearer ${guest}` } })).ok, "the hub to have the key");
    await enter(view, guest);
    await view.connected("websocket");
    await view.agrees(hub, "docs");
    const before = await view.rows();
    assert.equal(witness.snapshots, 1);

    await hub.revoke("guest");
    await view.page.getByRole("dialog", { name: "Token for this hub" }).waitFor();
    await view.shows(view.token.getByRole("alert"), /^This token is refused: it was revoked/);
    assert.deepEqual(await view.rows(), before, "what was known stays");
    await hub.publish("docs", range(1, 5).map((n) => file("file:queued", `missed-${n}`)));
    // It may be put off, and is not asked for again and again.
    await page.keyboard.press("Escape");
    await view.token.waitFor({ state: "detached" });
    await view.shows(page.getByRole("status").filter({ hasText: /^The token/ }), /does not hold any more/);
    await page.getByRole("button", { name: "Enter a new token" }).click();
    await enter(view, guest);
    await view.shows(view.token.getByRole("alert"), /it was revoked/);
    await enter(view, screen);
    await view.token.waitFor({ state: "detached" });
    await view.connected("websocket");
    await view.agrees(hub, "docs");
    assert.equal(witness.snapshots, 1, "it went on from where it stood");
    await until(async () => (await page.getByRole("button", { name: "Enter a new token" }).count()) === 0, "the notice to go");
    await witness.assertSecret([guest, screen], { token: screen, in: "tab" });
    await view.assertClean(isDenied);
  } finally {
    await view.close();
  }
});

for (const transport of ["websocket", "polling"]) {
  test(`a token that ends is told of before; a new one in time disturbs nothing, and without one it asks: ${transport}`, { timeout: 180_000 }, async () => {
    const proxy = await startProxy(hub.url);
    if (transport === "polling") proxy.refuse();
    const { view, witness } = await opened(proxy.url);
    const { page } = view;
    const notice = page.getByRole("button", { name: "Enter a new token" });
    try {
      const first = await hub.mint("--role", "viewer", "--pipelines", "docs", "--ttl", "25s", "--name", "ada");
      const ends = Date.now() + 25_000;
      await enter(view, first);
      await view.connected(transport);
      await view.shows(page.getByRole("status").filter({ hasText: /^The token/ }), /^The token ends within a minute\.$/);
      await notice.click();
      // A wrong one disturbs nothing that goes on.
      await enter(view, "rp_wrong");
      await view.shows(view.token.getByRole("alert"), /no such key/);
      assert.equal(await view.connection(), transport);
      const sockets = witness.sockets;
      const second = await hub.mint("--role", "viewer", "--pipelines", "*", "--ttl", "2h", "--name", "ada");
      await enter(view, second);
      await view.token.waitFor({ state: "detached" });
      await notice.waitFor({ state: "detached" });
      // The hub holds a token for 5 s longer than it says.
      let n = 0;
      await until(async () => {
        n += 1;
        await hub.publish("docs", file(n % 2 ? "file:processing" : "file:completed", transport));
        assert.equal(await view.token.count(), 0, "nobody is asked");
        await page.waitForTimeout(1_000);
        return Date.now() > ends + 7_000;
      }, "the first token to have ended", 60);
      await view.connected(transport);
      await view.agrees(hub, "docs");
      if (transport === "websocket") assert.deepEqual([witness.sockets, witness.snapshots], [sockets, 1], "the same socket, one state");

      await view.button("Sign out").click();
      await view.token.waitFor();
      const third = await hub.mint("--role", "viewer", "--pipelines", "docs", "--ttl", "8s", "--name", "ada");
      await enter(view, third);
      await view.connected(transport);
      await view.shows(view.token.getByRole("alert"), /^This token .*has expired\. Bring /, 40);
      await hub.publish("docs", file("file:queued", `${transport}-late`));
      await enter(view, second);
      await view.token.waitFor({ state: "detached" });
      await view.connected(transport);
      await view.agrees(hub, "docs");
      await witness.assertSecret([first, second, third], { token: second, in: "tab" });
      await view.assertClean(isDenied);
    } finally {
      await view.close();
    }
  });
}

test("a wider token shows more, a narrower one less; one that may see nothing is told, and not asked for again", { timeout: 90_000 }, async () => {
  await hub.open("mail", "mailbox");
  const { view } = await opened();
  const { page } = view;
  const mint = (pipelines) => hub.mint("--role", "viewer", ...pipelines, "--ttl", "50s", "--name", "ada");
  const change = async (token) => {
    await page.getByRole("button", { name: "Enter a new token" }).click();
    await enter(view, token);
    await view.token.waitFor({ state: "detached" });
  };
  try {
    await enter(view, await mint(["--pipelines", "docs"]));
    await view.agrees(hub, "docs");
    assert.equal(await view.pipelines.count(), 0, "there is but one");
    await change(await mint(["--pipelines", "docs", "--pipelines", "mail"]));
    await view.pipelines.getByRole("button", { name: /^mail/ }).waitFor();
    assert.equal(await view.pipelines.getByRole("listitem").count(), 2);
    await change(await mint(["--pipelines", "docs"]));
    await view.pipelines.waitFor({ state: "detached" });
    await view.agrees(hub, "docs");

    await view.button("Sign out").click();
    await enter(view, await mint([]));
    await view.shows(view.title, /^Your token may not see any pipeline$/);
    assert.equal(await view.token.count(), 0);
    await view.assertClean(isDenied);
  } finally {
    await view.close();
    await hub.forget("mail");
  }
});

for (const dark of [true, false]) {
  for (const width of [1280, 360]) {
    const name = `${dark ? "dark" : "light"}-${width}`;
    test(`everything about tokens can be read and reached, ${name}`, { timeout: 120_000 }, async () => {
      const { view } = await opened(hub.url, { dark, width, height: width === 360 ? 780 : 860 });
      const { page } = view;
      const look = async (sight) => {
        await view.assertNoOverflow(`${sight}-${name}`);
        await view.screenshot(`token-${sight}-${name}`);
        await assertAccessible(page, `${sight}-${name}`);
      };
      try {
        await focused(view);
        await look("asked");
        await enter(view, "rp_wrong");
        await view.shows(view.token.getByRole("alert"), /no such key/);
        // Every part by the Tab key, with a mark and a name.
        const stops = [];
        for (let at = await view.focus(); at.role !== "summary"; at = await view.focus()) {
          await page.keyboard.press("Tab");
          const stop = await view.focus();
          assert.ok(stop.isMarked, `nothing shows that the focus is on ${stop.role} ${stop.name}`);
          stops.push(stop.name || stop.role);
          assert.ok(stops.length < 8, stops.join());
        }
        assert.deepEqual(stops, ["Show the token", "input", "Connect", "How to get one"]);
        await page.keyboard.press("Enter");
        await look("refused");
        await input(view).focus();
        await enter(view, await hub.mint("--role", "viewer", "--pipelines", "docs", "--ttl", "50s", "--name", "ada"));
        await view.connected("websocket");
        await view.row("f1.txt").waitFor();
        await page.getByRole("button", { name: "Enter a new token" }).waitFor();
        await look("ending");
        await page.getByRole("button", { name: "Enter a new token" }).click();
        await focused(view);
        await look("dialog");
        await page.keyboard.press("Escape");
        await view.button("Sign out").click();
        await enter(view, await hub.mint("--role", "viewer", "--ttl", "2h", "--name", "ada"));
        await view.shows(view.title, /^Your token may not see any pipeline$/);
        await look("blind");
        await view.assertClean(isDenied);
      } finally {
        await view.close();
      }
    });
  }
}
