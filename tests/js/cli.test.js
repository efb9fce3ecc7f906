// The other commands of `ragpulse`: what they do, and one line with what to do when they cannot.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { folder } from "./support/documents.mjs";
import { Program, fresh, openHub, run, startHub } from "./support/program.mjs";
import { until } from "./support/wait.mjs";

const hub = await startHub();
const lines = (...events) => events.map((event) => JSON.stringify(event)).join("\n");
const online = { event: "pipeline:online", data: { pipeline_type: "local_files" } };
const queued = (id) => ({ event: "file:queued", data: { file: { name: id } } });
/** An address where nobody listens. */
const NOBODY = "http://127.0.0.1:1";

const refused = (result, code, pattern) => {
  assert.equal(result.code, code, `${result.out}\n${result.err}`);
  assert.match(result.err, pattern);
  assert.equal(result.err.split("\n").length, 1, `one line: ${result.err}`);
  assert.match(result.err, /^error: /);
};

test("publish takes events from standard input and from a file", async () => {
  const id = fresh("published");
  const first = await run(["publish", "--pipeline", id, "--url", hub.url], { input: lines(online, queued("a"), "").replace('""', "") });
  assert.deepEqual([first.code, first.out, first.err], [0, "2 accepted, 0 duplicates, 0 conflated", ""]);
  const own = { ...queued("b"), event_id: "b" };
  const files = await folder({ "events.ndjson": `\n${lines(own, own)}\n\n${lines({ event: "heartbeat" })}` });
  const second = await run(["publish", files.path("events.ndjson"), "--pipeline", id, "--reporter", "cron"], { env: { RAGPULSE_URL: hub.url } });
  assert.deepEqual([second.code, second.out], [0, "1 accepted, 1 duplicates, 1 conflated"]);
  assert.equal((await hub.state(id)).counts.queued, 2);
  const many = Array.from({ length: 1_201 }, (_, n) => queued(`f${n}`));
  const third = await run(["publish", "-", "--pipeline", id, "--url", hub.url], { input: lines(...many) });
  assert.deepEqual([third.code, third.out], [0, "1201 accepted, 0 duplicates, 0 conflated"]);
  await files.remove();
});

test("publish says in which line it is wrong, and what was taken before", async () => {
  const id = fresh("wrong");
  await hub.open(id);
  const publish = (input, ...args) => run(["publish", "--pipeline", id, "--url", hub.url, ...args], { input });
  refused(await publish(`${lines(queued("a"))}\nnot json\n`), 1, /line 2: it is not JSON/);
  refused(await publish("[1]\n"), 1, /line 1: an event is a JSON object/);
  refused(await publish(lines(queued("a"), { event: "file:done", data: {} })), 1, /line 1: .*file:done.*\[unknown_event\].*0 events before it were taken/);
  refused(await run(["publish", "--pipeline", fresh("unknown"), "--url", hub.url], { input: lines(queued("a")) }), 1, /\[unknown_pipeline\]/);
  refused(await publish("", "/nonexistent.ndjson"), 1, /cannot read \/nonexistent\.ndjson/);
  assert.equal((await hub.state(id)).seq, 1);
});

test("snapshot prints one pipeline or all", async () => {
  const id = fresh("shown");
  await hub.publish(id, [online, queued("a")]);
  const one = await run(["snapshot", "--pipeline", id, "--url", hub.url]);
  assert.equal(one.code, 0, one.err);
  assert.deepEqual(JSON.parse(one.out), await hub.state(id));
  const all = await run(["snapshot", "--url", `${hub.url}/`]);
  assert.equal(all.code, 0, all.err);
  assert.ok(JSON.parse(all.out).pipelines.some(({ pipeline_id }) => pipeline_id === id));
  refused(await run(["snapshot", "--pipeline", "nobody-knows", "--url", hub.url]), 1, /does not know pipeline 'nobody-knows'/);
});

test("schema prints the contract without a hub", async () => {
  const all = await run(["schema"]);
  assert.equal(all.code, 0);
  for (const name of ["file:completed", "pipeline:status", "hub:closing", "subscribe", "PipelineStatus"]) assert.match(all.out, new RegExp(name));
  assert.equal(JSON.parse((await run(["schema", "file:completed"])).out).title, "FileCompleted");
  assert.equal(JSON.parse((await run(["schema", "file:completed", "--report"])).out).title, "FileCompletedReport");
  assert.equal(JSON.parse((await run(["schema", "PipelineStatus"])).out).title, "PipelineStatus");
  refused(await run(["schema", "file:done"]), 2, /there is no event or type 'file:done'/);
  refused(await run(["schema", "pipeline:removed", "--report"]), 2, /only a hub sends/);
});

test("without a hub every command says so, and how to have one", { timeout: 60_000 }, async () => {
  const none = /no hub at http:\/\/127\.0\.0\.1:1\/: nobody answers there\. Start one with `ragpulse serve`/;
  refused(await run(["snapshot", "--url", NOBODY]), 1, none);
  refused(await run(["watch", NOBODY]), 1, none);
  refused(await run(["history", "--url", NOBODY]), 1, none);
  refused(await run(["publish", "--pipeline", "p", "--url", NOBODY], { input: lines(online) }), 1, none);
});

test("what is no hub, and what is no address", async () => {
  refused(await run(["snapshot", "--url", `${hub.url}/elsewhere`]), 1, /.+/);
  refused(await run(["snapshot", "--url", "ftp://127.0.0.1"]), 2, /neither http:\/\/ nor https:\/\//);
  refused(await run(["snapshot", "--url", "not an address"]), 2, /is no address/);
});

test("called wrongly, a command exits with 2 and says how it is called", async () => {
  for (const args of [[], ["nonsense"], ["publish"], ["serve", "--listen", "here"], ["watch", "--transport", "pigeon"], ["publish", "--pipeline", "a b"], ["serve", "--rollout", "101"], ["serve", "--store", "floppy:x"], ["history", "--since", "yesterday"]]) {
    const result = await run(args);
    assert.equal(result.code, 2, args.join(" "));
    assert.notEqual(result.err, "", args.join(" "));
  }
  refused(await run(["serve", "--listen", "0.0.0.0:0"]), 2, /--insecure/);
  const port = new URL(hub.url).host;
  refused(await run(["serve", "--listen", port]), 1, /something else listens there/);
});

test("watch follows pipelines that come later, and a hub that was away", { timeout: 90_000 }, async () => {
  const first = await openHub();
  const address = new URL(first.url).host;
  const watch = new Program(["watch", first.url, "--json"]);
  const plain = new Program(["watch", first.url, "--pipeline", "late"]);
  try {
    await until(() => watch.err.some((line) => /no pipeline has reported yet/.test(line)), "watch to wait");
    await until(() => plain.err.some((line) => /connected by websocket/.test(line)), "the connection");
    await first.publish("late", [online, { event: "file:queued", data: { file: { name: "a\u001b[2J.txt", id: "a" } } }]);
    await plain.line(/file:queued\s+a\ufffd\[2J\.txt/);
    await until(() => watch.out.length > 0, "the pipeline to turn up", 30);
    const [{ event, data }] = watch.out.map((line) => JSON.parse(line));
    assert.ok((event === "pipeline:status" && data.seq === 2) || (event === "pipeline:online" && data.seq === 1), event);
    await first.program.stop();

    const second = await openHub("--listen", address);
    try {
      await second.publish("late", [online, queued("b"), queued("c")]);
      const next = () => watch.out.map((line) => JSON.parse(line)).filter(({ data }) => data.epoch && data.epoch !== "" && data.seq === 3);
      await until(() => next().length > 0, "the new hub's state", 45);
    } finally {
      await second.program.stop();
    }
    assert.equal((await watch.stop("SIGINT")).code, 0);
    assert.equal((await plain.stop("SIGTERM")).code, 0);
  } finally {
    await watch.stop("SIGKILL");
    await plain.stop("SIGKILL");
    await first.program.stop("SIGKILL");
  }
});

test("a store outlives its hub, belongs to one, and its history can be looked up", { timeout: 60_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), "ragpulse-"));
  const store = ["--store", `sqlite:${join(directory, "store.db")}`];
  const first = await openHub(...store);
  try {
    await first.publish("p", [online, queued("a"), queued("b")]);
    await first.publish("q", [online, queued("a")]);
    refused(await run(["serve", "--listen", "127.0.0.1:0", ...store]), 1, /in use by another hub \(process \d+\)/);
    await first.program.stop("SIGKILL");
    const second = await openHub(...store);
    try {
      const failed = { event: "file:failed", data: { file: { name: "a", id: "a" }, error: { message: "it broke" } } };
      await second.publish("p", [failed]);
      const history = async (...args) => {
        const result = await run(["history", "--url", second.url, ...args]);
        assert.equal(result.code, 0, result.err);
        return result.out.trimEnd().split("\n").filter((line) => line !== "");
      };
      const all = (await history("--json")).map((line) => JSON.parse(line));
      assert.deepEqual(all.map(({ data }) => `${data.pipeline_id} ${data.seq}`), ["p 1", "p 2", "p 3", "q 1", "q 2", "p 4"]);
      const lines = await history("--pipeline", "p", "--file", "a", "--since", "1h");
      assert.match(lines[0], /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}p {2}file:queued/);
      assert.match(lines[1], /file:failed\s+a {2}\w+: it broke/);
      assert.equal(lines.length, 2);
      assert.equal((await history("--event", "file:queued", "--limit", "2")).length, 2);
      assert.deepEqual(await history("--until", "2020-01-01T00:00:00Z"), []);
    } finally {
      await second.program.stop();
    }
    const notes = join(directory, "notes.txt");
    await writeFile(notes, "my notes");
    refused(await run(["serve", "--store", `sqlite:${notes}`]), 1, /not a RagPulse store.*left as it is/);
    assert.equal(await readFile(notes, "utf8"), "my notes");
  } finally {
    await first.program.stop("SIGKILL");
    await rm(directory, { recursive: true });
  }
});
