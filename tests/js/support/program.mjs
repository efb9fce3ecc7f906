// The program under test: started on a free port, read by line, ended for certain.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { after } from "node:test";

import { until } from "./wait.mjs";

/** The path of `ragpulse`. Tests of a live hub fail where it is not known; they are never skipped. */
export function binary() {
  const path = process.env.RAGPULSE_BIN;
  const advice = "run `cargo xtask test`, or build it by `cargo build -p ragpulse-cli` and set RAGPULSE_BIN to the path";
  if (!path) throw new Error(`RAGPULSE_BIN does not name the program under test: ${advice}`);
  if (!existsSync(path)) throw new Error(`RAGPULSE_BIN names ${path}, which is not there: ${advice}`);
  return path;
}

/** Settings of the person who runs the tests do not reach the program. */
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith("RAGPULSE_") && name !== "SOCKET_IO_CORS_ORIGIN"),
);

/** A running `ragpulse`, with what it has printed. */
export class Program {
  out = [];
  err = [];

  constructor(args, { cwd, env } = {}) {
    this.args = args;
    this.process = spawn(binary(), args, { cwd, env: { ...environment, ...env }, stdio: ["pipe", "pipe", "pipe"] });
    createInterface({ input: this.process.stdout }).on("line", (line) => this.out.push(line));
    createInterface({ input: this.process.stderr }).on("line", (line) => this.err.push(line));
    // A program that ends before it has read its input says so by its exit code.
    this.process.stdin.on("error", () => {});
    this.ended = new Promise((resolve, reject) => {
      this.process.on("error", reject);
      this.process.on("close", (code, signal) => resolve({ code, signal }));
    });
  }

  get running() {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  /** Waits for a line of its output; gives the match. */
  async line(pattern, seconds = 20) {
    let match = null;
    await until(
      () => {
        for (const line of this.out) if ((match = pattern.exec(line))) return true;
        if (!this.running) throw new Error(`${this} ended: ${this.err.join("\n")}`);
        return false;
      },
      `${this} to print ${pattern}`,
      seconds,
    );
    return match;
  }

  /** Asks it to stop; gives its exit code and how many ms it took. */
  async stop(signal = "SIGTERM", seconds = 15) {
    const started = performance.now();
    if (this.running) this.process.kill(signal);
    let end = null;
    this.ended.then((value) => (end = value));
    try {
      await until(() => end !== null, `${this} to end after ${signal}`, seconds);
    } finally {
      if (this.running) this.process.kill("SIGKILL");
    }
    return { ...end, took: performance.now() - started };
  }

  toString() {
    return `ragpulse ${this.args.join(" ")}`;
  }
}

/** Runs a command to its end. */
export async function run(args, { input, seconds = 30, ...options } = {}) {
  const program = new Program(args, options);
  program.process.stdin.end(input ?? "");
  let end = null;
  program.ended.then((value) => (end = value));
  try {
    await until(() => end !== null, `${program} to end`, seconds);
  } finally {
    if (program.running) program.process.kill("SIGKILL");
  }
  return { code: end.code, out: program.out.join("\n"), err: program.err.join("\n") };
}

/** A hub for the tests of one file, ended with them. */
export async function startHub(...args) {
  const hub = await openHub(...args);
  after(() => hub.program.stop());
  return hub;
}

/** A hub that the caller ends. */
export async function openHub(...args) {
  const listen = args.includes("--listen") ? [] : ["--listen", "127.0.0.1:0"];
  const store = args.includes("--store") ? [] : ["--store", "memory:"];
  const program = new Program(["serve", ...listen, ...store, ...args]);
  const [, url] = await program.line(/^RagPulse is at (http:\/\/\S+)/);
  return new Hub(url, program);
}

/** A hub by its address. */
export class Hub {
  constructor(url, program) {
    this.url = url;
    this.program = program;
  }

  async json(path, options) {
    const response = await fetch(`${this.url}${path}`, { signal: AbortSignal.timeout(60_000), ...options });
    const text = await response.text();
    let body = text;
    try {
      body = JSON.parse(text);
    } catch {
      // Some answers are no JSON.
    }
    return { status: response.status, body, headers: response.headers };
  }

  /** Reports events over HTTP; they must be taken. */
  async publish(pipeline, ...events) {
    const { status, body } = await this.json(`/api/pipelines/${pipeline}/events`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(events.flat()),
    });
    assert.equal(status, 200, JSON.stringify(body));
    return body;
  }

  /** Opens a pipeline, and gives its cursor. */
  async open(pipeline, type = "local_files", data = {}) {
    const { epoch, seq } = await this.publish(pipeline, { event: "pipeline:online", data: { pipeline_type: type, ...data } });
    return { epoch, seq };
  }

  /** The snapshot over HTTP. */
  async state(pipeline) {
    return (await this.json(`/api/pipelines/${pipeline}/events`)).body.snapshot;
  }

  /** Every event after a cursor, over HTTP. */
  async eventsAfter(pipeline, { epoch, seq }) {
    const events = [];
    for (;;) {
      const { body } = await this.json(`/api/pipelines/${pipeline}/events?epoch=${epoch}&seq=${seq}`);
      assert.ok(body.events, JSON.stringify(body).slice(0, 200));
      events.push(...body.events);
      if (body.up_to_date) return events;
      seq = body.seq;
    }
  }

  async connections() {
    const { body } = await this.json("/api/socket/test", { method: "POST", headers: { "content-type": "application/json" } });
    return body.connections;
  }

  /** Forgets a pipeline. */
  async forget(pipeline) {
    const { status } = await this.json(`/api/pipelines/${pipeline}`, { method: "DELETE" });
    assert.equal(status, 204);
  }
}

let next = 0;
/** A name that no other test of this process uses. */
export const fresh = (name) => `${name}-${(next += 1)}`;

export const file = (event, id, data = {}) => ({
  event,
  data: {
    file: { name: `${id}.txt`, id },
    ...(event === "file:failed" ? { error: { message: "it broke" } } : {}),
    ...(event === "file:progress" ? { progress: 0.5 } : {}),
    ...data,
  },
});
