// Reports to a hub what pipelines of many kinds would, for who works on the page: failures, retries, long queues, big files,
// pipelines that are late, lost, offline, idle, or of an odd name.
//
// `node scripts/feed.mjs http://127.0.0.1:8103 [--files 10000] [--once]`. Without --once it goes on until it is stopped.

/** A way to report to a hub. */
export function reporter(url) {
  return async (pipeline, events, who = "feed") => {
    for (let at = 0; at < events.length; at += 1_000) {
      const response = await fetch(`${url}/api/pipelines/${pipeline}/events`, {
        method: "POST",
        headers: { "content-type": "application/json", "RagPulse-Reporter": who },
        body: JSON.stringify(events.slice(at, at + 1_000)),
      });
      if (!response.ok) throw new Error(`${pipeline}: ${response.status} ${await response.text()}`);
    }
  };
}

const NAMES = ["Board deck", "Brand guide", "Customer interviews", "Data map", "Hiring plan", "Key results", "Launch checklist", "Market study", "Onboarding", "Price model", "Security review", "Vendor list"];
const STAGES = [["extraction", "pages"], ["chunking", "chunks"], ["embedding", "chunks"], ["storing", "chunks"]];
const ERRORS = [
  { type: "RateLimited", message: "the drive asks to wait", stage: "extraction", retryable: true, code: "429" },
  { type: "ParseError", message: "PDF: failed parsing cross reference table: invalid start value", stage: "extraction", retryable: false },
  { type: "EmbeddingTimeout", message: "the model did not answer within 30 s", stage: "embedding", retryable: true },
  { type: "EncryptedDocument", message: "the document is protected by a password", retryable: false },
  { type: "OutOfMemory", message: "the worker was ended while it chunked 812 MB of text", stage: "chunking", retryable: true },
];
const online = (pipeline_type, more = {}) => ({ event: "pipeline:online", data: { pipeline_type, ...more } });

/** A file of the shared drive. */
const driveFile = (n) => ({ name: `${NAMES[n % NAMES.length]} ${2014 + (n % 11)}${n >= 132 ? ` (${n})` : ""}.gdoc`, id: `drive-${n}`, path: `Handbook/${2014 + (n % 11)}/${NAMES[n % NAMES.length]}.gdoc`, size: 18_000 + n * 7_310 });

/** A shared drive that was read for the most part. */
export function drive(files) {
  const events = [online("google_drive", { watch_location: "Shared drives / Handbook", check_interval: 60 })];
  for (let n = 0; n < files; n += 1) events.push({ event: "file:queued", data: { file: driveFile(n) } });
  const done = Math.floor(files * 0.68);
  for (let n = 0; n < done; n += 1) {
    const file = driveFile(n);
    events.push({ event: "file:processing", data: { file, processing_stage: "extraction" } });
    if (n > done - 3) events.push({ event: "file:progress", data: { file, processing_stage: "embedding", progress: 0.6 } });
    else if (n % 31 === 7) events.push({ event: "file:failed", data: { file, error: ERRORS[0] } });
    else if (n % 23 === 4) events.push({ event: "file:skipped", data: { file, reason: "unchanged" } });
    else events.push({ event: "file:completed", data: { file, results: { chunks_created: 4 + (n % 9), processing_duration: 0.4 } } });
  }
  return events;
}

/** What is there at once: a drive with every state that a file can have, and pipelines that have ended or fallen silent. */
export async function begin(publish, files = 600) {
  await publish("google-drive", [online("google_drive", { watch_location: "Shared drives / Handbook", check_interval: 60, lease_seconds: 600 })]);
  const events = [];
  for (let n = 0; n < files; n += 1) events.push({ event: "file:queued", data: { file: driveFile(n), queue_position: n, change: n % 5 ? "created" : "modified" } });
  const done = Math.floor(files * 0.55);
  for (let n = 0; n < done; n += 1) {
    const file = driveFile(n);
    events.push({ event: "file:processing", data: { file, processing_stage: "extraction" } });
    if (n % 17 === 3) events.push({ event: "file:failed", data: { file, error: ERRORS[n % ERRORS.length] } });
    else if (n % 23 === 4) events.push({ event: "file:skipped", data: { file, reason: n % 2 ? "unchanged" : "duplicate", ...(n % 2 ? {} : { duplicate_of: `drive-${n - 1}` }) } });
    else if (n % 61 === 5) events.push({ event: "file:cancelled", data: { file, requested_by: "an administrator" } });
    else events.push({ event: "file:completed", data: { file, results: { chunks_created: 4 + (n % 9), embeddings_generated: 4 + (n % 9), processing_duration: 0.2 + (n % 13) / 9 }, ...(n % 40 === 7 ? { warnings: ["two pages hold no text"] } : {}) } });
  }
  for (let n = done; n < done + 4; n += 1) {
    const file = driveFile(n);
    events.push({ event: "file:processing", data: { file, processing_stage: "embedding" } });
    events.push({ event: "file:failed", data: { file, error: ERRORS[0] } });
    events.push({ event: "file:retrying", data: { file, attempt: 2, max_attempts: 5, retry_at: new Date(Date.now() + 90_000 + n * 1_000).toISOString() } });
  }
  const big = { name: "Archive of all minutes since 1987.pdf", id: "big-1", path: "Handbook/Archive/Archive of all minutes since 1987.pdf", size: 4_812_000_000, mime_type: "application/pdf" };
  events.push({ event: "file:processing", data: { file: big, processing_stage: "extraction", estimated_duration: 5_400 } });
  events.push({ event: "file:progress", data: { file: big, processing_stage: "extraction", progress: 0.31, current: 18_304, total: 59_000, unit: "pages", eta_seconds: 2_712 } });
  await publish("google-drive", events);

  await publish("invoices-archive", [online("local_files", { watch_location: "/srv/invoices" }), ...Array.from({ length: 240 }, (_, n) => ({ event: "file:completed", data: { file: { name: `invoice-${n}.pdf` }, results: { chunks_created: 3 } } })), { event: "pipeline:offline" }]);
  await publish("wiki-mirror", [online("confluence", { watch_location: "https://wiki.example/space/ENG", check_interval: 300, lease_seconds: 3_600 }), ...Array.from({ length: 96 }, (_, n) => ({ event: "file:completed", data: { file: { name: `Page ${n}.html` }, results: { chunks_created: 2 + (n % 5) } } }))]);
  await publish("support-tickets", [online("zendesk", { lease_seconds: 30 }), ...Array.from({ length: 60 }, (_, n) => ({ event: n % 9 ? "file:completed" : "file:failed", data: { file: { name: `ticket-${n}.json` }, ...(n % 9 ? {} : { error: ERRORS[4] }) } })), ...["a", "b"].map((id) => ({ event: "file:processing", data: { file: { name: `ticket-${id}.json` }, processing_stage: "redaction" } }))]);
  await publish("odd.names", [
    online("local_files", { watch_location: "/srv/\u202eodd" }),
    ...["invoice\u202egpj.exe", "line\nbreak.txt", "<img src=x onerror=alert(1)>.md", "\u0645\u0644\u0641.pdf", `${"long ".repeat(60)}.txt`, "\u{1f469}\u200d\u{1f680}.txt"].map((name, n) => (
      { event: n % 2 ? "file:failed" : "file:completed", data: { file: { name, path: `in/${name}` }, ...(n % 2 ? { error: ERRORS[3] } : {}) } })),
  ]);
  return done + 4;
}

/** Goes on with the drive: some files at a time through all stages; gives the next number when `isOver`. */
export async function goOn(publish, from, isOver, pause = 120) {
  const open = [];
  let next = from;
  for (let tick = 0; !isOver(); tick += 1) {
    const events = [];
    while (open.length < 5) {
      open.push({ file: driveFile(next), n: next, stage: 0, part: 0 });
      events.push({ event: "file:processing", data: { file: driveFile(next), processing_stage: "extraction" } });
      next += 1;
    }
    for (const one of [...open]) {
      one.part += 0.1 + ((one.n * 7 + tick) % 5) / 16;
      if (one.part >= 1) {
        one.stage += 1;
        one.part = 0;
      }
      const isEnd = one.stage >= STAGES.length || (one.n % 13 === 6 && one.stage === 2);
      if (!isEnd) {
        const [stage, unit] = STAGES[one.stage];
        const total = 12 + (one.n % 40);
        events.push({ event: "file:progress", data: { file: one.file, processing_stage: stage, progress: one.part, current: Math.floor(one.part * total), total, unit } });
        continue;
      }
      open.splice(open.indexOf(one), 1);
      events.push(one.stage >= STAGES.length
        ? { event: "file:completed", data: { file: one.file, results: { chunks_created: 12 + (one.n % 40) } } }
        : { event: "file:failed", data: { file: one.file, error: ERRORS[one.n % ERRORS.length] } });
    }
    await publish("google-drive", events);
    if (tick % 40 === 0) await publish("wiki-mirror", [{ event: "heartbeat" }]);
    await new Promise((done) => setTimeout(done, pause));
  }
  return next;
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const [url = "http://127.0.0.1:8103", ...options] = process.argv.slice(2);
  const files = Number(options[options.indexOf("--files") + 1] || 600);
  const publish = reporter(url);
  const next = await begin(publish, options.includes("--files") ? files : 600);
  if (!options.includes("--once")) await goOn(publish, next, () => false);
}
