// The page of the client's tests: built, served from an origin of its own, and driven.
//
// What may come in: the address of a hub or of a proxy before it. What it never does: hide an error of the page.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { after } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

import { range } from "../../js/support/clients.mjs";

const PAGE = new URL("../page/", import.meta.url);
/** Milliseconds since 1970 with fractions, as in the page. */
export const now = () => performance.timeOrigin + performance.now();

/** Builds the page and serves it on 127.0.0.1. It is another origin than any hub's. */
export async function startHarness() {
  const { outputFiles } = await build({
    entryPoints: { harness: fileURLToPath(new URL("harness.mjs", PAGE)) },
    outdir: "/",
    bundle: true,
    format: "esm",
    // socket.io-client stays a file of its own, which is loaded when it is needed, as in an application.
    splitting: true,
    target: "es2022",
    write: false,
    logLevel: "silent",
  });
  const files = new Map(outputFiles.map(({ path, contents }) => [path, ["text/javascript", contents]]));
  files.set("/", ["text/html", await readFile(new URL("index.html", PAGE))]);
  const server = createServer(({ url }, response) => {
    const [type, body] = files.get(url) ?? ["text/plain", url === "/favicon.ico" ? "" : null];
    response.writeHead(body === null ? 404 : 200, { "content-type": `${type}; charset=utf-8` }).end(body ?? "");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}/`, bytes: outputFiles.map(({ path, contents }) => [path, contents.length]) };
}

/** Opens the page and follows; `prepare(page)` may look at it before that. Ended with the test. */
export async function follow(t, browser, harness, options, prepare) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 800 } });
  t.after(() => context.close());
  return followIn(t, context, harness, options, prepare);
}

/** The same in a tab of a context that is there. */
export async function followIn(t, context, harness, options, prepare = async () => {}) {
  const page = await context.newPage();
  t.after(() => page.close());
  const follower = new Follower(context, page, options.pipelines?.[0]);
  await page.goto(harness.url);
  await prepare(page, follower);
  await page.evaluate((options) => globalThis.harness.follow(options), options);
  return follower;
}

/** A page that follows pipelines. */
export class Follower {
  errors = [];

  constructor(context, page, pipeline) {
    this.context = context;
    this.page = page;
    this.pipeline = pipeline;
    page.on("pageerror", (error) => this.errors.push(error.message));
  }

  /** What was told so far, from an index on. */
  log(from = 0) {
    return this.page.evaluate((from) => globalThis.harness.log.slice(from), from);
  }

  connection() {
    return this.page.evaluate(() => globalThis.harness.store.connection);
  }

  snapshot(pipeline = this.pipeline) {
    return this.page.evaluate((pipeline) => globalThis.harness.store.getSnapshot(pipeline), pipeline);
  }

  /** Waits for a condition in the page; says how it stood otherwise. */
  async until(condition, argument, what, seconds = 40) {
    const deadline = now() + seconds * 1000;
    // Asked from here: a page that is hidden has slow timers and no frames.
    while (!(await this.page.evaluate(condition, argument))) {
      if (now() > deadline) {
        const last = (await this.log()).slice(-5);
        throw new Error(`waited ${seconds} s in vain for ${what}: ${JSON.stringify({ last, connection: await this.connection() })}`);
      }
      await pause(20);
    }
  }

  /** Waits until the store has a position. */
  reach(seq, { pipeline = this.pipeline, seconds } = {}) {
    return this.until(([pipeline, seq]) => globalThis.harness.reached(pipeline) >= seq, [pipeline, seq], `seq ${seq} of ${pipeline}`, seconds);
  }

  /** Waits until the connection is said to be so. */
  connected(state, seconds) {
    return this.until((state) => globalThis.harness.store.connection.state === state, state, `the connection to be ${state}`, seconds);
  }

  /** Waits for something to be told from an index of the log on; gives it. `match` is a plain object: every key must be equal. */
  async told(match, { from = 0, seconds } = {}) {
    const find = ([match, from]) =>
      globalThis.harness.log.slice(from).find((entry) => Object.entries(match).every(([key, value]) => entry[key] === value)) ?? null;
    await this.until(find, [match, from], `${JSON.stringify(match)} to be told`, seconds);
    return this.page.evaluate(find, [match, from]);
  }

  /** How long the log is. */
  length() {
    return this.page.evaluate(() => globalThis.harness.log.length);
  }

  /**
   * The log proves it: every event from the first state to `seq` came once and in order, no snapshot stands in place of
   * events, and the state is the hub's own. `from` is where the pipeline stood when the page began: 1 when it had only
   * been opened, 0 when it was not there, null when nobody knows. `initial` is where a state stood that the page was
   * given. Gives the log.
   */
  async assertExact(hub, seq, { pipeline = this.pipeline, from = 1, initial = 0 } = {}) {
    await this.reach(seq, { pipeline });
    const log = await this.log();
    const own = log.filter((entry) => entry.pipeline === pipeline);
    const events = own.filter(({ kind }) => kind === "event");
    const snapshots = own.filter(({ kind }) => kind === "snapshot");
    assert.ok(snapshots.length <= 1, `${snapshots.length} snapshots: ${JSON.stringify(snapshots)}`);
    if (snapshots.length === 1) assert.equal(own.find(({ kind }) => kind !== "liveness"), snapshots[0], "the snapshot came first");
    // An update tells that there is a snapshot, and not where it stands.
    const first = snapshots.length === 0 ? initial + 1 : from === null ? (events[0]?.seq ?? seq + 1) : from + 1;
    assert.deepEqual(events.map(({ seq }) => seq), range(first, seq), "every event once, in order");
    assert.deepEqual(own.filter(({ kind }) => !["event", "snapshot", "liveness"].includes(kind)), []);
    assert.deepEqual(await this.snapshot(pipeline), await hub.state(pipeline), "the hub's own state");
    assert.deepEqual(this.errors, [], "nothing was thrown in the page");
    return log;
  }
}

/** Frames of the page's WebSockets, as the browser's own network log has them. */
export async function watchFrames(page) {
  const session = await page.context().newCDPSession(page);
  const frames = [];
  const note = (way) => ({ timestamp, response }) => frames.push({ way, at: timestamp * 1000, data: response?.payloadData ?? "" });
  session.on("Network.webSocketCreated", () => frames.push({ way: "created", data: "" }));
  session.on("Network.webSocketHandshakeResponseReceived", note("open"));
  session.on("Network.webSocketFrameSent", note("sent"));
  session.on("Network.webSocketFrameReceived", note("received"));
  session.on("Network.webSocketClosed", note("closed"));
  await session.send("Network.enable");
  return { frames, session };
}

/** One line per number. */
export const measured = (text) => console.log(`measured: ${text}`);

/** The value below which a part of all values lie. */
export function percentile(values, part) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * part) - 1)];
}
