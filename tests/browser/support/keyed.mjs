// A hub with keys, and tokens for it made by the program itself: static keys, and JSON Web Tokens of one HS256 key.
//
// What may come in: names of keys to revoke. What it never does: write a token into a folder that outlives the tests.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

import { Hub, openHub, run } from "../../js/support/program.mjs";

/** A hub whose own requests are an admin's. */
class KeyedHub extends Hub {
  /** The admin's token. */
  admin = "";
  #folder;
  #entries = [];
  #revoked = [];

  constructor(folder) {
    super("", null);
    this.#folder = folder;
  }

  json(path, { headers, ...options } = {}) {
    return super.json(path, { ...options, headers: { ...headers, authorization: `Bearer ${this.admin}` } });
  }

  get #file() {
    return join(this.#folder, "keys.toml");
  }

  async #write() {
    const jwt = '[[jwt]]\nid = "main"\nalgorithm = "HS256"\nsecret_file = "hub.secret"\n';
    await writeFile(this.#file, `revoked = ${JSON.stringify(this.#revoked)}\n\n${jwt}\n${this.#entries.join("\n")}`, { mode: 0o600 });
  }

  /** Starts it. */
  async start() {
    await writeFile(join(this.#folder, "hub.secret"), randomBytes(32).toString("hex"), { mode: 0o600 });
    this.admin = await this.key("admin", "admin");
    const { url, program } = await openHub("--keys", this.#file);
    Object.assign(this, { url, program });
  }

  /** Makes a static key; gives its token. A running hub reads it when it is told to. */
  async key(name, role, pipelines = "*") {
    const { code, out, err } = await run(["token", "new", "--name", name, "--role", role, "--pipelines", pipelines]);
    assert.equal(code, 0, err);
    this.#entries.push(err.slice(err.indexOf("[[key]]")));
    await this.#write();
    this.#reload();
    return out.trim();
  }

  /** Mints a JSON Web Token. */
  async mint(...args) {
    const { code, out, err } = await run(["token", "mint", "--keys", this.#file, "--key", "main", ...args]);
    assert.equal(code, 0, err);
    return out.trim();
  }

  /** What this key has opened is shut. */
  async revoke(name) {
    this.#revoked.push(name);
    await this.#write();
    this.#reload();
  }

  #reload() {
    this.program?.process.kill("SIGHUP");
  }
}

/** A hub with keys for the tests of one file, ended with them. */
export async function startKeyedHub() {
  const folder = await mkdtemp(join(tmpdir(), "ragpulse-keys-"));
  const hub = new KeyedHub(folder);
  after(async () => {
    await hub.program?.stop();
    await rm(folder, { recursive: true, force: true });
  });
  await hub.start();
  return hub;
}
