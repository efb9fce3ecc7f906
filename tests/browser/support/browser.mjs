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

/**
 * The page of a hub, in a profile of its own. `dark` is what the system asks for. `long`, in the page, are tasks that blocked it.
 */
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
    globalThis.long = [];
    new PerformanceObserver((list) => {
      for (const { startTime, duration } of list.getEntries()) globalThis.long.push({ at: startTime, duration });
    }).observe({ type: "longtask", buffered: true });
  });
  const page = await context.newPage();
  const view = new Dashboard(page, new URL(url).host);
  view.response = await page.goto(`${url}/${hash}`);
  return view;
}

/** What the page shows, found as people find it: by roles and names. And what went wrong in it. */
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
    const named = (role, name) => page.getByRole(role, { name, exact: typeof name === "string" });
    /** What is shown: a pipeline's id, or why there is none. */
    this.title = page.getByRole("heading", { level: 1 });
    this.main = page.getByRole("main");
    /** How it is connected. */
    this.link = named("group", "Connection");
    this.grid = named("grid", "Files");
    this.search = named("searchbox", "Search name, path, cause");
    this.progress = named("region", "Progress");
    this.causes = named("region", /^Why files failed/);
    /** The pipelines, where there are several. */
    this.pipelines = named("navigation", /^Pipelines/);
    this.help = named("dialog", "Help and keys");
    /** The form for a token: in the page where nothing is shown, else in a dialog. */
    this.token = named("form", "Token for this hub");
    this.button = (name) => named("button", name);
  }

  /** A file's row, by the name of the file. */
  row(name) {
    return this.grid.getByRole("row").filter({ has: this.page.getByText(name, { exact: true }) });
  }

  /** The button of a filter: `All`, `Failed` and so on. */
  filter(name) {
    return this.page.getByRole("group", { name: "Filter by state", exact: true }).getByRole("button", { name: new RegExp(`^${name} [\\d,]+$`) });
  }

  /** The sheet of a file, by the name of the file. */
  sheet(name) {
    return this.page.getByRole("dialog", { name, exact: true });
  }

  /** Waits until there is a text in an element. */
  async shows(element, pattern, seconds = 30) {
    let text;
    await until(async () => {
      // It may be drawn anew between the two.
      text = (await element.count()) === 1 ? await element.textContent({ timeout: 5_000 }).catch(() => null) : null;
      return pattern.test(text ?? "");
    }, () => `${element} to show ${pattern}; it shows ${text}; errors: ${this.errors}`, seconds);
  }

  /** How it is connected, as data. */
  connection() {
    return this.link.getAttribute("data-connection");
  }

  /** Waits until it is connected like this. */
  async connected(state, seconds = 40) {
    let last;
    await until(async () => (last = await this.connection()) === state, () => `the page to be connected by ${state}; it is ${last}`, seconds);
  }

  /** How many files it says stand where, by the names of the filters in lower case. */
  counts() {
    return this.page.evaluate(() => {
      const buttons = [...document.querySelectorAll('[role="group"][aria-label="Filter by state"] button')];
      return Object.fromEntries(buttons.map(({ textContent }) => {
        const [, name, amount] = /^\s*(\w+)\s+([\d,]+)\s*$/.exec(textContent);
        return [name.toLowerCase(), Number(amount.replaceAll(",", ""))];
      }));
    });
  }

  /** The rows that are drawn, but for those whose file is on its way: `[name, state]`. */
  rows() {
    return this.page.evaluate(() =>
      [...document.querySelectorAll('[role="grid"][aria-label="Files"] [role="row"]')]
        .map((row) => row.querySelectorAll('[role="gridcell"]'))
        .filter(({ length }) => length === 4)
        .map(([state, name]) => [name.querySelector("bdi").textContent, state.textContent.trim().toLowerCase()]),
    );
  }

  /** The names of the files in the rows that are drawn. */
  async names() {
    return (await this.rows()).map(([name]) => name);
  }

  /** Waits until exactly these files are listed, in any order. */
  async lists(names, seconds = 30) {
    let seen;
    const wanted = [...names].sort().join();
    await until(async () => (seen = (await this.names()).sort().join()) === wanted, () => `the list to be ${wanted}; it is ${seen}`, seconds);
  }

  /** Waits until the page shows exactly what the hub knows of a pipeline. Only for pipelines that fit into the window. */
  async agrees(hub, pipeline, seconds = 30) {
    let seen;
    const sorted = (entries) => JSON.stringify([...entries].sort());
    await until(
      async () => {
        const state = await hub.state(pipeline);
        if (!state) return false;
        const titles = await this.title.allTextContents();
        const { all, ...counts } = await this.counts();
        const rows = await this.rows();
        seen = JSON.stringify({ connection: await this.connection(), titles, counts, rows, errors: this.errors });
        // Nothing is said of cancelled files where there are none.
        return titles.join() === pipeline && all === state.files.length
          && sorted(Object.entries({ cancelled: 0, ...counts })) === sorted(Object.entries(state.counts))
          && sorted(rows) === sorted(state.files.map(({ name, state }) => [name, state]));
      },
      () => `the page to show what the hub knows of ${pipeline}; it shows ${seen}`,
      seconds,
    );
  }

  /** The element that has the focus: its role or tag, its name or text, its id. */
  focus() {
    return this.page.evaluate(() => {
      const element = document.activeElement;
      // In a grid, the row that the keys are at shows it.
      const marked = document.getElementById(element.getAttribute("aria-activedescendant") ?? "") ?? element;
      const { outlineStyle, boxShadow } = getComputedStyle(marked);
      return {
        role: element.getAttribute("role") ?? element.tagName.toLowerCase(),
        name: element.getAttribute("aria-label") ?? element.textContent.trim().slice(0, 80),
        id: element.id,
        dialog: element.closest("dialog")?.id ?? null,
        isMarked: outlineStyle !== "none" || boxShadow !== "none",
      };
    });
  }

  /** Nothing was blocked, nothing thrown, nothing fetched from elsewhere. `expected` may leave out what a test brings about. */
  async assertClean(expected = () => false) {
    assert.deepEqual(await this.page.evaluate(() => globalThis.violations), [], "the policy was kept");
    assert.deepEqual(this.errors.filter((error) => !expected(error)), []);
    assert.deepEqual(this.foreign, [], "nothing comes from elsewhere");
  }

  /** Nothing is wider than the window. */
  async assertNoOverflow(what = "the page") {
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
    assert.ok(page <= width, `${what} is ${page} px wide in a window of ${width}`);
    assert.deepEqual(wide, [], what);
  }

  async screenshot(name) {
    await mkdir(ARTIFACTS, { recursive: true });
    await this.page.screenshot({ path: `${ARTIFACTS}${name}.png` });
  }

  close() {
    return this.page.context().close();
  }
}
