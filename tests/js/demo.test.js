// `ragpulse demo` over a real folder: every file's true end, on the wire, over HTTP and in `ragpulse watch --json`.
import assert from "node:assert/strict";
import { after, test } from "node:test";

import { io } from "socket.io-client";

import { Socket, range } from "./support/clients.mjs";
import { brokenPdf, folder, pdf } from "./support/documents.mjs";
import { Hub, Program, run } from "./support/program.mjs";
import { until } from "./support/wait.mjs";

const ID = "local-files-pipeline";
const documents = await folder({
  "notes.txt": "Plain text about hedgehogs.\n".repeat(20),
  "guide.md": "# Guide\n\nMarkdown about badgers.\n\n## More\n\nAnd about foxes.\n",
  "page.html": "<!doctype html><title>Page</title><h1>Otters</h1><p>HTML about otters.</p><script>var hidden = 1</script>",
  "good.pdf": pdf("A page about storks.", "A second page, about cranes."),
  "broken.pdf": brokenPdf(),
  "photo.bin": Buffer.from(range(0, 255)),
  "empty.txt": "",
  "2025/report.txt": "The report of the year 2025, about newts.\n",
  "2026/report.txt": "The report of the year 2026, about toads.\n",
  "kept/out.txt": "never seen",
  ".gitignore": "kept/\n",
});
after(() => documents.remove());

/** Where each file stands: `path → [state, reason or error type]`. */
const standing = ({ files }) =>
  Object.fromEntries(files.map(({ path, state, reason, error }) => [path, [state, reason ?? error?.type]].map((v) => v)));

test("every file of a folder comes to its true end, and changes show live", { timeout: 120_000 }, async () => {
  const demo = new Program(["demo", documents.root, "--listen", "127.0.0.1:0"]);
  try {
    const [, url] = await demo.line(/dashboard\s+(http:\/\/[^/]+)\//);
    const hub = new Hub(url, demo);
    const watch = new Program(["watch", url, "--pipeline", ID, "--json"]);
    const socket = await new Socket(io(`${url}/local_files`, { forceNew: true })).connected();
    try {
      const state = await until(
        async () => {
          const now = await hub.state(ID);
          return now?.files.length === 9 && now.counts.queued + now.counts.processing === 0 && now;
        },
        "every file to end",
        60,
      );
      const ends = standing(state);
      const broken = ends["broken.pdf"];
      assert.equal(broken[0], "failed");
      assert.ok(broken[1], "a failure has a type");
      delete ends["broken.pdf"];
      assert.deepEqual(ends, {
        "notes.txt": ["completed", undefined],
        "guide.md": ["completed", undefined],
        "page.html": ["completed", undefined],
        "good.pdf": ["completed", undefined],
        "photo.bin": ["skipped", "unsupported"],
        "empty.txt": ["skipped", "empty"],
        "2025/report.txt": ["completed", undefined],
        "2026/report.txt": ["completed", undefined],
      });
      const failed = state.files.find(({ path }) => path === "broken.pdf").error;
      assert.ok(failed.message.length > 5 && failed.stage === "extraction", JSON.stringify(failed));
      assert.deepEqual(
        [state.counts.completed, state.counts.failed, state.counts.skipped, state.total_processed, state.total_failed],
        [6, 1, 2, 6, 1],
      );
      const two = state.files.filter(({ name }) => name === "report.txt");
      assert.equal(new Set(two.map(({ id }) => id)).size, 2, "two files of one name are two");
      for (const { state: end, results } of state.files) if (end === "completed") assert.ok(results.chunks_created > 0 && results.embeddings_generated > 0);

      // The reference's route says the same.
      const { body: status } = await hub.json(`/api/rag-status?pipeline_id=${ID}`);
      assert.equal(status.status, "online");
      assert.deepEqual(status.files_processing, []);
      assert.deepEqual(status.files_failed.map(({ name }) => name), ["broken.pdf"]);
      assert.equal(status.files_completed.length, 6);

      // So does a terminal, event by event, in one sequence.
      const lines = () => watch.out.map((line) => JSON.parse(line));
      const seen = (name, path) => lines().some(({ event, data }) => event === name && data.file?.path === path);
      const told = () => {
        const first = lines().find(({ event }) => event === "pipeline:status");
        const known = new Map((first?.data.files ?? []).map(({ path, state }) => [path, state]));
        for (const { event, data } of lines()) {
          if (data.file && event !== "file:progress") known.set(data.file.path, event.slice(5));
        }
        return known;
      };
      await until(() => [...told().values()].filter((state) => /completed|failed|skipped/.test(state)).length === 9, "watch to show every end");
      for (const { path, state: end } of state.files) assert.equal(told().get(path), end, path);

      for (const { data } of socket.received.filter(({ event }) => event === "file:progress")) {
        assert.equal(data.progress, data.total ? data.current / data.total : 0, "progress is the part of the stage that is done");
      }

      // Changes of the folder.
      await documents.write("notes.txt", "Rewritten, now about lynxes.\n");
      // Of the file as it was it is known already, by socket and by watch, that it was completed.
      const ofNotes = () => lines().filter(({ data }) => data.file?.path === "notes.txt");
      await until(() => {
        const changed = ofNotes().findIndex(({ event, data }) => event === "file:queued" && data.change === "modified");
        return changed >= 0 && ofNotes().slice(changed).some(({ event }) => event === "file:completed");
      }, "the change");
      await documents.write("new/fresh.md", "# Fresh\n\nJust written.\n");
      await until(() => seen("file:completed", "new/fresh.md"), "the new file");
      await documents.remove("guide.md");
      await until(() => seen("file:deleted", "guide.md"), "the deletion");
      await documents.write("broken.pdf", pdf("Whole again."));
      await until(() => seen("file:completed", "broken.pdf"), "the repaired file");
      const after = await hub.state(ID);
      assert.equal(after.files.some(({ path }) => path === "guide.md"), false);
      assert.equal(after.counts.failed, 0);
      assert.equal(after.counts.processing + after.counts.queued, 0);

      // The end: the pipeline says goodbye, then the hub.
      const end = await demo.stop("SIGINT");
      assert.equal(end.code, 0, demo.err.join("\n"));
      assert.equal((await socket.message("pipeline:offline")).reason, "normal_shutdown");
      await socket.message("hub:closing");
      await until(() => lines().some(({ event }) => event === "pipeline:offline"), "watch to show the end");
      const events = lines().filter(({ event }) => event !== "pipeline:status" && event !== "heartbeat");
      const begin = events[0].data.seq;
      assert.deepEqual(events.map(({ data }) => data.seq), range(begin, begin + events.length - 1), "no hole, no repeat, no swap");
      assert.match(demo.out.at(-1), /^\d+ completed, \d+ failed, \d+ skipped, 1 deleted; \d+ chunks with their vectors$/);
      assert.equal((await watch.stop("SIGINT")).code, 0);
    } finally {
      socket.end();
      await watch.stop("SIGKILL");
    }
  } finally {
    await demo.stop("SIGKILL");
  }
});

test("stopped in the middle, no file is left as being processed", { timeout: 90_000 }, async () => {
  const many = await folder(
    Object.fromEntries(range(1, 400).map((n) => [`d${n % 20}/f${n}.txt`, `Number ${n}. `.repeat(3_000)])),
  );
  const demo = new Program(["demo", many.root, "--listen", "127.0.0.1:0"]);
  try {
    const [, url] = await demo.line(/dashboard\s+(http:\/\/[^/]+)\//);
    const socket = await new Socket(io(url, { forceNew: true })).connected();
    await socket.call("subscribe", { pipeline_id: ID });
    await until(() => socket.received.some(({ event }) => event === "file:completed"), "the first file");
    const end = await demo.stop("SIGINT");
    assert.equal(end.code, 0, demo.err.join("\n"));
    await socket.message("pipeline:offline");
    const snapshot = socket.snapshots(ID)[0];
    const open = new Set((snapshot?.files ?? []).filter(({ state }) => /queued|processing/.test(state)).map(({ id }) => id));
    for (const { event, data } of socket.events(ID)) {
      if (/^file:(queued|processing|retrying)$/.test(event)) open.add(data.file.id);
      if (/^file:(completed|failed|skipped|cancelled|deleted)$/.test(event)) open.delete(data.file.id);
    }
    assert.deepEqual([...open], [], "each file that was begun has an end");
    socket.end();
  } finally {
    await demo.stop("SIGKILL");
    await many.remove();
  }
});

test("demo --once ends by itself, finds what it stored, and refuses what it cannot do", { timeout: 60_000 }, async () => {
  const few = await folder({ "a.txt": "The heron stands in the reeds.", "b.md": "# Owls\n\nThe owl hunts at night.", "c.pdf": brokenPdf() });
  try {
    const once = await run(["demo", few.root, "--once", "--listen", "127.0.0.1:0", "--search", "owl at night"]);
    assert.equal(once.code, 0, once.err);
    assert.match(once.out, /2 completed, 1 failed, 0 skipped, 0 deleted/);
    assert.match(once.out, /failed {2}c\.pdf/);
    const [nearest] = once.out.split("\n").slice(-2);
    assert.match(nearest, /b\.md/);
  } finally {
    await few.remove();
  }
  const nowhere = await run(["demo", "/nonexistent/folder", "--once", "--listen", "127.0.0.1:0"]);
  assert.equal(nowhere.code, 1);
  assert.match(nowhere.err, /^error: [^\n]+ragpulse demo DIR[^\n]*$/);
  const open = await run(["demo", "--listen", "0.0.0.0:0"]);
  assert.equal(open.code, 2);
  assert.match(open.err, /^error: [^\n]+loopback[^\n]*$/);
});
