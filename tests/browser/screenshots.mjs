// Makes docs/images/dashboard-{dark,light}.png: the running page, over a real demo in the middle of its work and a
// second pipeline beside it. Run by hand: `RAGPULSE_BIN=… npm run screenshots -w tests/browser`.
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { Hub, Program } from "../js/support/program.mjs";
import { until } from "../js/support/wait.mjs";
import { openBrowser, openPage } from "./support/browser.mjs";
import { library } from "./support/library.mjs";

const IMAGES = fileURLToPath(new URL("../../docs/images/", import.meta.url));
const FILES = 420;
const HALF = 230;

/** A shared drive that was read for the most part. */
function drive() {
  const names = ["Board deck", "Brand guide", "Customer interviews", "Data map", "Hiring plan", "Key results", "Launch checklist", "Market study", "Onboarding", "Price model", "Security review", "Vendor list"];
  const events = [{ event: "pipeline:online", data: { pipeline_type: "google_drive", watch_location: "Shared drives / Handbook", check_interval: 60 } }];
  const file = (n) => ({ name: `${names[n % names.length]} ${2014 + Math.floor(n / names.length)}.gdoc`, id: `drive-${n}`, size: 18_000 + n * 731 });
  for (let n = 0; n < 144; n += 1) events.push({ event: "file:queued", data: { file: file(n) } });
  for (let n = 0; n < 99; n += 1) {
    events.push({ event: "file:processing", data: { file: file(n), processing_stage: "extraction" } });
    if (n > 96) events.push({ event: "file:progress", data: { file: file(n), processing_stage: "embedding", progress: 0.6 } });
    else if (n % 31 === 7) events.push({ event: "file:failed", data: { file: file(n), error: { type: "RateLimited", message: "the drive asks to wait", stage: "extraction", retryable: true } } });
    else if (n % 23 === 4) events.push({ event: "file:skipped", data: { file: file(n), reason: "unchanged" } });
    else events.push({ event: "file:completed", data: { file: file(n), results: { chunks_created: 4 + (n % 9), processing_duration: 0.4 } } });
  }
  return events;
}

const documents = await library(FILES, 150, join(tmpdir(), "company-documents"));
const demo = new Program(["demo", documents.root, "--listen", "127.0.0.1:0"]);
const browser = await openBrowser();
try {
  await mkdir(IMAGES, { recursive: true });
  const [, url] = await demo.line(/dashboard\s+(http:\/\/[^/]+)\//);
  const hub = new Hub(url, demo);
  await hub.publish("google-drive-pipeline", drive());
  const hash = "#pipeline=local-files-pipeline";
  const views = await Promise.all([true, false].map((dark) => openPage(browser, url, { dark, hash, height: 860 })));
  await Promise.all(
    views.map(async (view, index) => {
      await until(async () => {
        const { all, queued, processing } = await view.counts();
        const done = all - queued - processing;
        if (processing < 2 || all !== FILES || done < HALF) return false;
        // Rather one that is far enough along to show its stages.
        return done > HALF + 90 || /[2-8]\d %/.test((await view.text("#list .row .row-text")) ?? "");
      }, "the demo to be in the middle of its work", 60);
      await view.page.screenshot({ path: `${IMAGES}dashboard-${index ? "light" : "dark"}.png` });
    }),
  );
} finally {
  await browser.close();
  await demo.stop("SIGINT");
  await documents.remove();
}
