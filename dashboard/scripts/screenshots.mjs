// Makes docs/images/dashboard-{light,dark}.png (1280 px wide) and dashboard-narrow-{light,dark}.png (360 px): the page of a
// real demo hub in the middle of its work, with two more pipelines beside it.
//
// Run by hand: `RAGPULSE_BIN=… npm run screenshots -w dashboard`; the page that is shown is the one in the program. The
// browser is the one in CHROMIUM_BIN, or /usr/bin/chromium.
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

import { library } from "../../tests/browser/support/library.mjs";
import { Program } from "../../tests/js/support/program.mjs";
import { until } from "../../tests/js/support/wait.mjs";
import { drive, reporter } from "./feed.mjs";

const IMAGES = fileURLToPath(new URL("../../docs/images/", import.meta.url));
const ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const FILES = 700;
/** From how many ended files on the pictures are taken. */
const ENOUGH = 330;
const ID = "local-files-pipeline";

const documents = await library(FILES, 150, join(tmpdir(), "company-documents"));
const demo = new Program(["demo", documents.root, "--listen", "127.0.0.1:0"]);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM_BIN ?? "/usr/bin/chromium", args: ARGS });
try {
  await mkdir(IMAGES, { recursive: true });
  const [, url] = await demo.line(/dashboard\s+(http:\/\/[^/]+)\//);
  const publish = reporter(url);
  await publish("google-drive-pipeline", drive(144));
  await publish("wiki-mirror", [
    { event: "pipeline:online", data: { pipeline_type: "confluence" } },
    ...Array.from({ length: 96 }, (_, n) => ({ event: "file:completed", data: { file: { name: `Page ${n}.html` }, results: { chunks_created: 4 } } })),
    { event: "pipeline:offline" },
  ]);
  const shots = [
    { name: "dashboard-light", width: 1280, height: 860, dark: false },
    { name: "dashboard-dark", width: 1280, height: 860, dark: true },
    { name: "dashboard-narrow-light", width: 360, height: 780, dark: false },
    { name: "dashboard-narrow-dark", width: 360, height: 780, dark: true },
  ];
  await Promise.all(
    shots.map(async ({ name, width, height, dark }) => {
      const context = await browser.newContext({
        viewport: { width, height }, colorScheme: dark ? "dark" : "light", reducedMotion: "reduce", locale: "en-GB", timezoneId: "UTC",
      });
      const page = await context.newPage();
      await page.goto(`${url}/#pipeline=${ID}`);
      const read = () => page.evaluate(() => ({
        done: Number((document.querySelector("#done")?.textContent ?? "0").replace(/\D/g, "")),
        running: document.querySelectorAll(".rp-row[data-state=processing]").length,
      }));
      await until(async () => {
        const { done, running } = await read();
        return done >= ENOUGH && (running >= 2 || done > ENOUGH + 60);
      }, "the demo to be in the middle of its work", 120);
      await page.screenshot({ path: join(IMAGES, `${name}.png`) });
    }),
  );
} finally {
  await browser.close();
  await demo.stop("SIGINT");
  await documents.remove();
}
