// examples/nextjs-dashboard over HTTP: the page that its server renders, and what it passes on to browsers that cannot
// reach the hub. Run by `npm run test:full`, which builds it first.
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { connectPipelineStatus } from "@ragpulse/client";

import { range } from "../support/clients.mjs";
import { EXAMPLE, startNext } from "../support/nextjs.mjs";
import { file, fresh, openHub, startHub } from "../support/program.mjs";
import { until } from "../support/wait.mjs";

const hub = await startHub();
const next = await startNext({ hub: hub.url });
const ask = (path, options = {}, site = next) => fetch(site.url + path, { signal: AbortSignal.timeout(60_000), ...options });

/** A server of the test's own, ended with the file. */
async function listen(server) {
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  after(() => {
    server.closeAllConnections?.();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

async function assertProblem(answer, status, code) {
  assert.equal(answer.status, status);
  assert.equal(answer.headers.get("content-type"), "application/problem+json");
  const problem = await answer.json();
  assert.deepEqual([problem.status, problem.code], [status, code]);
  assert.ok(problem.title && problem.detail);
  return problem;
}

test("the server renders the state of the pipelines, and the cursor from which the browser goes on", async () => {
  const pipeline = fresh("docs");
  await hub.open(pipeline, "local_files", { watch_location: "/srv/documents" });
  const { epoch, seq } = await hub.publish(
    pipeline,
    file("file:processing", "report"), file("file:progress", "report", { progress: 0.5, processing_stage: "embedding" }),
    file("file:processing", "notes"), file("file:completed", "notes", { results: { chunks_created: 17 } }),
    file("file:processing", "scan"), file("file:failed", "scan", { error: { type: "ExtractionError", message: "no text layer", stage: "extraction" } }),
  );
  const answer = await ask("/");
  assert.equal(answer.status, 200);
  const html = await answer.text();
  const card = new RegExp(`<article[^>]*data-pipeline="${pipeline}"[^>]*data-seq="${seq}"[^>]*>(.*?)</article>`, "s").exec(html)?.[1];
  assert.ok(card, "the card of the pipeline");
  for (const text of ["/srv/documents", "report.txt", "notes.txt", "17 chunks", "scan.txt", "ExtractionError", "no text layer"]) {
    assert.ok(card.includes(text), `the card says ${text}`);
  }
  assert.match(html, new RegExp(`\\\\"epoch\\\\":\\\\"${epoch}\\\\"`), "the cursor is in the page");
  assert.doesNotMatch(html, /RAGPULSE_URL|RAGPULSE_TOKEN/);
  const policy = answer.headers.get("content-security-policy");
  assert.match(policy, new RegExp(`connect-src 'self' ${hub.url.replace("http", "ws")};`));
  assert.match(policy, /script-src 'self' 'nonce-[\w+/=]+' 'strict-dynamic';/);
});

test("/api/rag-status is the hub's own answer, with its tag", async () => {
  const pipeline = fresh("docs");
  await hub.open(pipeline);
  await hub.open(fresh("docs"));
  for (const path of ["/api/rag-status", `/api/rag-status?pipeline_id=${pipeline}`, "/api/rag-status?pipeline_id=nobody"]) {
    const answer = await ask(path);
    const own = await hub.json(path);
    const { serverTime, ...body } = await answer.json();
    const { serverTime: _, ...expected } = own.body;
    assert.deepEqual(body, expected);
    assert.ok(serverTime);
    for (const header of ["etag", "cache-control", "content-type"]) assert.equal(answer.headers.get(header), own.headers.get(header), header);
    const again = await ask(path, { headers: { "if-none-match": own.headers.get("etag") } });
    assert.equal(again.status, 304);
    assert.equal(await again.text(), "");
    assert.equal(again.headers.get("etag"), own.headers.get("etag"));
  }
  const { headers } = await ask("/api/rag-status");
  await hub.publish(pipeline, file("file:queued", "f"));
  assert.equal((await ask("/api/rag-status", { headers: { "if-none-match": headers.get("etag") } })).status, 200, "there is news");
});

test("what the hub refuses is refused in its words, and nothing but reading is passed on", async () => {
  const pipeline = fresh("docs");
  await hub.open(pipeline);
  const path = `/api/pipelines/${pipeline}/events`;
  await assertProblem(await ask(`${path}?epoch=x&seq=y`), 400, "invalid_cursor");
  for (const wrong of ["/api/pipelines/a%20b/events", `/api/pipelines/${pipeline}/stream`, "/api/pipelines/..%2f..%2fhealth/files"]) {
    await assertProblem(await ask(wrong), 404, "not_found");
  }
  for (const method of ["POST", "DELETE"]) {
    const body = method === "POST" ? JSON.stringify(file("file:queued", "f")) : undefined;
    assert.equal((await ask(path, { method, body, headers: { "content-type": "application/json" } })).status, 405);
  }
  assert.equal((await hub.state(pipeline)).seq, 1);
});

test("files and history come in pages as from the hub", async () => {
  const pipeline = fresh("docs");
  await hub.open(pipeline);
  await hub.publish(pipeline, ...range(1, 30).map((n) => file("file:queued", `f${n}`)));
  for (const query of ["files?state=queued&limit=10", "files?q=F7", "history?limit=5&after=3", "history?file=f2", "files?limit=nonsense"]) {
    const path = `/api/pipelines/${pipeline}/${query}`;
    const answer = await ask(path);
    const own = await hub.json(path);
    // Each request has an id of its own, which problems name.
    const { request_id: id, ...body } = await answer.json();
    const { request_id: another, ...expected } = own.body;
    assert.deepEqual([answer.status, typeof id, body], [own.status, typeof another, expected], query);
  }
});

test("a long poll is held until there is news, and ends at the hub when the browser goes", async () => {
  const pipeline = fresh("docs");
  const { epoch, seq } = await hub.open(pipeline);
  const path = `/api/pipelines/${pipeline}/events?epoch=${epoch}&seq=${seq}&wait=25`;
  const before = await hub.connections();
  const held = ask(path);
  await until(async () => (await hub.connections()) > before, "the hub to hold the poll");
  await hub.publish(pipeline, file("file:queued", "news"));
  const { events } = await (await held).json();
  assert.deepEqual(events.map(({ event, data }) => [event, data.seq]), [["file:queued", seq + 1]]);
  const browser = new AbortController();
  const aborted = ask(`${path.replace(`seq=${seq}`, `seq=${seq + 1}`)}`, { signal: browser.signal });
  await until(async () => (await hub.connections()) > before, "the hub to hold the second one");
  browser.abort();
  await assert.rejects(aborted, { name: "AbortError" });
  await until(async () => (await hub.connections()) <= before, "the hub to be asked no more", 10);
});

test("without a hub it says so, the page is drawn, and all works again when the hub is back", async () => {
  let own = await openHub();
  after(() => own.program.stop());
  const site = await startNext({ hub: own.url });
  const pipeline = fresh("docs");
  await own.open(pipeline);
  assert.equal((await ask("/api/rag-status", {}, site)).status, 200);
  await own.program.stop();
  for (const path of ["/api/rag-status", "/api/socket/info", `/api/pipelines/${pipeline}/events?wait=25`]) {
    const { detail } = await assertProblem(await ask(path, {}, site), 503, "hub_away");
    assert.doesNotMatch(detail, /127\.0\.0\.1/, "browsers are not told where the hub is");
  }
  assert.ok(site.lines.some((line) => line.includes(own.url) && line.includes("ECONNREFUSED")), "the operator is");
  const page = await ask("/", {}, site);
  assert.equal(page.status, 200);
  assert.match(await page.text(), /Connecting to the hub/);
  own = await openHub("--listen", new URL(own.url).host);
  await own.open(pipeline);
  assert.equal((await (await ask("/api/rag-status", {}, site)).json()).status, "online");
  assert.match(await (await ask("/", {}, site)).text(), new RegExp(`data-pipeline="${pipeline}"`));
});

test("a hub that does not answer is not waited for", async () => {
  const sockets = new Set();
  const silent = await listen(createTcpServer((socket) => sockets.add(socket.on("error", () => {}))));
  after(() => sockets.forEach((socket) => socket.destroy()));
  const site = await startNext({ hub: silent });
  const [status, page] = await Promise.all([ask("/api/rag-status", {}, site), ask("/", {}, site)]);
  await assertProblem(status, 504, "hub_late");
  assert.equal(page.status, 200);
  assert.match(await page.text(), /Connecting to the hub/);
});

test("the token stays on the server, a browser's own goes before it, and cookies stay out", async () => {
  const asked = [];
  const upstream = await listen(createServer((request, response) => {
    asked.push(request.headers);
    response.writeHead(401, { "content-type": "application/problem+json", "retry-after": "7", "set-cookie": "a=b", "x-inner": "1" });
    response.end(JSON.stringify({ code: "unauthorized" }));
  }));
  const site = await startNext({ hub: upstream, env: { RAGPULSE_TOKEN: "the-servers" } });
  const status = JSON.stringify({ client_id: "c", status: "active" });
  const answer = await ask("/api/pipelines/docs/events", { headers: { cookie: "session=1", "ragpulse-client-status": status, "x-other": "1" } }, site);
  assert.deepEqual([answer.status, answer.headers.get("retry-after")], [401, "7"]);
  assert.deepEqual([answer.headers.get("set-cookie"), answer.headers.get("x-inner")], [null, null]);
  await ask("/api/rag-status", { headers: { authorization: "Bearer the-browsers" } }, site);
  const [first, second] = asked;
  assert.equal(first.authorization, "Bearer the-servers");
  assert.equal(first["ragpulse-client-status"], status);
  assert.deepEqual([first.cookie, first["x-other"], first.origin], [undefined, undefined, undefined]);
  assert.equal(second.authorization, "Bearer the-browsers");
  const html = await (await ask("/", {}, site)).text();
  assert.equal(asked.at(-1).authorization, "Bearer the-servers");
  assert.doesNotMatch(html, /the-servers/);
});

test("the flag and the hub's address are read when it starts; a browser that cannot reach the hub is told to poll", async () => {
  const polling = await openHub("--transport", "auto", "--rollout-percentage", "25");
  after(() => polling.program.stop());
  const direct = await startNext({ hub: polling.url, env: { NEXT_PUBLIC_RAG_STATUS_TRANSPORT: "polling" } });
  const info = await (await ask("/api/socket/info", {}, direct)).json();
  assert.deepEqual([info.transport, info.rollout_percentage, info.available], ["auto", 25, true]);
  assert.match(await (await ask("/", {}, direct)).text(), /\\"transport\\":\\"polling\\"/);
  const through = await startNext({ hub: polling.url, browsers: "" });
  const told = await (await ask("/api/socket/info", {}, through)).json();
  assert.deepEqual([told.transport, told.available, told.transports], ["polling", false, []]);
  const page = await ask("/", {}, through);
  assert.match(page.headers.get("content-security-policy"), /connect-src 'self';/);
});

test("a client that knows only this server follows by polling: every event once, across a restart of the hub", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "ragpulse-nextjs-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const store = ["--store", `sqlite:${join(folder, "log.db")}`];
  let own = await openHub(...store);
  t.after(() => own.program.stop());
  const site = await startNext({ hub: own.url, browsers: "" });
  const pipeline = fresh("docs");
  await own.open(pipeline);
  const client = connectPipelineStatus({ url: site.url, pipelines: [pipeline] });
  t.after(() => client.close());
  const seqs = [];
  let snapshots = 0;
  client.onUpdate((update) => {
    if (update.kind === "event") seqs.push(update.event.data.seq);
    if (update.kind === "snapshot") snapshots += 1;
  });
  const reach = (seq) => until(() => client.getSnapshot(pipeline)?.seq >= seq, () => `seq ${seq}; ${JSON.stringify(client.connection)}`, 60);
  await reach(1);
  assert.deepEqual(client.connection, { state: "polling", cause: { kind: "advised" } });
  for (let n = 2; n <= 20; n += 1) await own.publish(pipeline, file("file:queued", `f${n}`));
  await reach(20);
  await own.program.stop("SIGKILL");
  own = await openHub("--listen", new URL(own.url).host, ...store);
  const { seq } = await own.state(pipeline);
  for (let n = seq + 1; n <= seq + 10; n += 1) await own.publish(pipeline, file("file:queued", `f${n}`));
  await reach(seq + 10);
  assert.deepEqual(seqs, range(2, seq + 10));
  assert.equal(snapshots, 1);
  assert.deepEqual(client.getSnapshot(pipeline), await own.state(pipeline));
});

test("there is one React, and the lock file names no place to load from", async () => {
  const names = await readdir(join(EXAMPLE, "node_modules"), { recursive: true });
  const copies = names.filter((name) => /(^|node_modules\/)react(-dom)?\/package\.json$/.test(name) && !name.includes("next/dist"));
  assert.deepEqual(copies.sort(), ["react-dom/package.json", "react/package.json"]);
  const { packages } = JSON.parse(await readFile(join(EXAMPLE, "package-lock.json"), "utf8"));
  const resolved = Object.values(packages).flatMap(({ resolved }) => resolved ?? []);
  assert.deepEqual(resolved.sort(), ["file:../../bindings/react", "file:../../bindings/typescript"]);
  const { dependencies, devDependencies } = JSON.parse(await readFile(join(EXAMPLE, "package.json"), "utf8"));
  for (const version of Object.values({ ...dependencies, ...devDependencies })) assert.match(version, /^(\d+\.\d+\.\d+|file:.*)$/);
});
