// A real browser with a fresh profile, and pages that remember whatever went wrong in them.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { after } from "node:test";

import { chromium } from "playwright-core";

import { until } from "../../js/support/wait.mjs";

const ARTIFACTS = fileURLToPath(new URL("../artifacts/", import.meta.url));

const ARGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

function executable() {
  const path = process.env.CHROMIUM_BIN || "/usr/bin/chromium";
  if (existsSync(path)) return path;
  throw new Error(`there is no browser at ${path}: on Debian run apt-get install -y chromium, or name one in CHROMIUM_BIN`);
}

/** Starts the browser. Where there is none this fails and says what to do. */
export async function openBrowser() {
  return chromium.launch({ executablePath: executable(), args: ARGS, headless: true });
}

/**
 * The browser as its users have it, for the tests of one file; gives its one window's context. Playwright otherwise
 * switches off what happens to tabs that nobody sees: there `visibilityState` is always `visible`, and timers and frames
 * go on. Here another tab in front makes a page hidden, and timers run once a second.
 */
export async function startPlainBrowser() {
  const profile = await mkdtemp(join(tmpdir(), "ragpulse-profile-"));
  const args = [...ARGS, "--headless", "--remote-debugging-port=0", `--user-data-dir=${profile}`, "about:blank"];
  const child = spawn(executable(), args, { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise((resolve) => child.on("close", resolve));
  after(async () => {
    child.kill();
    await ended;
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  });
  let said = "";
  child.stderr.on("data", (data) => (said += data));
  const address = await until(() => {
    if (child.exitCode !== null) throw new Error(`the browser ended: ${said}`);
    return /DevTools listening on (ws:\S+)/.exec(said)?.[1];
  }, "the browser to listen", 60);
  const browser = await chromium.connectOverCDP(address, { noDefaults: true });
  return browser.contexts()[0];
}

/** The browser of one test file. */
export async function startBrowser() {
  const browser = await openBrowser();
  after(() => browser.close());
  return browser;
}

/** The page of a hub, in a profile of its own. */
export async function openPage(browser, url, { width = 1280, height = 800, dark = true, hash = "" } = {}) {
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: dark ? "dark" : "light",
    reducedMotion: "reduce",
    locale: "en-GB",
    timezoneId: "UTC",
  });
  await context.addInitScript(() => {
    globalThis.violations = [];
    addEventListener("securitypolicyviolation", (event) => {
      globalThis.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`);
    });
  });
  const page = await context.newPage();
  const view = new Dashboard(page, new URL(url).host);
  view.response = await page.goto(`${url}/${hash}`);
  return view;
}

/** What the page shows, and what went wrong in it. */
export class Dashboard {
  errors = [];
  foreign = [];

  constructor(page, host) {
    this.page = page;
    page.on("pageerror", (error) => this.errors.push(`uncaught: ${error.message}`));
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) this.errors.push(`${message.text()} (${message.location().url})`);
    });
    page.on("dialog", (dialog) => {
      this.errors.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    page.on("request", (request) => {
      if (new URL(request.url()).host !== host) this.foreign.push(request.url());
    });
  }

  text(selector) {
    return this.page.evaluate((selector) => document.querySelector(selector)?.textContent ?? null, selector);
  }

  transport() {
    return this.page.evaluate(() => document.querySelector("#link").dataset.transport);
  }

  /** How many files it says stand where. */
  counts() {
    return this.page.evaluate(() =>
      Object.fromEntries(
        [...document.querySelectorAll("#filters button")].map((button) => [
          button.dataset.state, Number(button.querySelector("b").textContent.replace(/\D/g, "") || 0),
        ]),
      ),
    );
  }

  /** The rows that are drawn: `id → state`. */
  rows() {
    return this.page.evaluate(() =>
      Object.fromEntries([...document.querySelectorAll("#list .row")].map((row) => [row.dataset.key, row.dataset.state])),
    );
  }

  /** Waits until the page shows exactly what the hub knows of a pipeline. Only for pipelines that fit into the window. */
  async agrees(hub, pipeline, seconds = 30) {
    let seen;
    await until(
      async () => {
        const state = await hub.state(pipeline);
        if (!state) return false;
        const { all, ...counts } = await this.counts();
        const rows = await this.rows();
        const hidden = await this.page.evaluate(() => document.querySelector("#detail").hidden && document.querySelector("#empty").textContent.trim());
        seen = JSON.stringify({ transport: await this.transport(), hidden, counts, rows, errors: this.errors });
        if (hidden) return false;
        const sorted = (object) => JSON.stringify(Object.entries(object).sort());
        return sorted(counts) === sorted(state.counts)
          && sorted(rows) === sorted(Object.fromEntries(state.files.map(({ id, state }) => [id, state])));
      },
      () => `the page to show what the hub knows of ${pipeline}; it shows ${seen}`,
      seconds,
    );
  }

  /** Nothing was blocked, nothing thrown, nothing fetched from elsewhere. `expected` may leave out what a test brings about. */
  async assertClean(expected = () => false) {
    assert.deepEqual(await this.page.evaluate(() => globalThis.violations), [], "the policy was kept");
    assert.deepEqual(this.errors.filter((error) => !expected(error)), []);
    assert.deepEqual(this.foreign, [], "nothing comes from elsewhere");
  }

  /** Nothing is wider than the window. */
  async assertNoOverflow() {
    const { width, wide, page } = await this.page.evaluate(() => {
      const width = document.documentElement.clientWidth;
      const scrolled = (element) => {
        for (let parent = element.parentElement; parent && parent !== document.body; parent = parent.parentElement) {
          if (getComputedStyle(parent).overflowX !== "visible") return true;
        }
        return false;
      };
      const wide = [...document.querySelectorAll("body *")]
        .filter((element) => element.checkVisibility() && element.getBoundingClientRect().right > width + 1 && !scrolled(element))
        .map((element) => `${element.tagName}.${element.getAttribute("class")}#${element.id} to ${element.getBoundingClientRect().right}`);
      return { width, wide, page: document.documentElement.scrollWidth };
    });
    assert.ok(page <= width, `the page is ${page} px wide in a window of ${width}`);
    assert.deepEqual(wide, []);
  }

  async screenshot(name) {
    await mkdir(ARTIFACTS, { recursive: true });
    await this.page.screenshot({ path: `${ARTIFACTS}${name}.png` });
  }

  close() {
    return this.page.context().close();
  }
}
