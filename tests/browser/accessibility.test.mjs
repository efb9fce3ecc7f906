// The page at / of a live hub, looked at by axe-core, in both themes and at two widths: the files of a pipeline, the sheet of
// one, what opens above it, and what stands there without a pipeline. Nothing is wider than the window; with pictures.
import { after, test } from "node:test";

import { range } from "../js/support/clients.mjs";
import { file, openHub, startHub } from "../js/support/program.mjs";
import { assertAccessible } from "./support/axe.mjs";
import { openPage, startBrowser } from "./support/browser.mjs";
import { measured } from "./support/harness.mjs";
import { startProxy } from "./support/proxy.mjs";

const hub = await startHub();
const bare = await openHub();
after(() => bare.program.stop());
const browser = await startBrowser();
const locked = await startProxy(bare.url);
locked.token = "nobody knows it";
locked.refuse({ status: 401 });

// Something of everything that can be shown.
await hub.open("handbook", "google_drive");
await hub.publish("handbook", range(1, 12).map((n) => file("file:queued", `page-${n}`)));
await hub.open("invoices-archive", "local_files");
await hub.publish("invoices-archive", [...range(1, 5).map((n) => file("file:completed", `invoice-${n}`)), { event: "pipeline:offline" }]);
for (const n of range(1, 8)) await hub.open(`a-pipeline-with-a-long-name-${"long-".repeat(n)}${n}`);
await hub.open("documents", "local_files", { watch_location: "/srv/documents", check_interval: 60 });
const kinds = ["ParseError", "RateLimited", "EmbeddingTimeout", "OutOfMemory"];
await hub.publish("documents", [
  ...range(1, 60).map((n) => file("file:queued", `report-${n}`)),
  ...range(1, 40).map((n) => file("file:processing", `report-${n}`, { processing_stage: "extraction" })),
  ...range(1, 20).map((n) => file("file:completed", `report-${n}`, { results: { chunks_created: n, processing_duration: n / 10 }, warnings: ["two pages hold no text"] })),
  ...range(21, 26).map((n) => file("file:failed", `report-${n}`, { error: { type: kinds[n % 4], message: `no text in page 7 ${"of a very long message ".repeat(8)}`, stage: "extraction", retryable: n % 2 === 0 } })),
  ...range(27, 30).map((n) => file("file:skipped", `report-${n}`, { reason: "unchanged" })),
  file("file:cancelled", "report-31"),
  ...range(32, 36).map((n) => file("file:progress", `report-${n}`, { processing_stage: "embedding", progress: n / 40, current: n, total: 40, unit: "chunks", eta_seconds: 30 })),
  file("file:processing", "report-21", { processing_stage: "embedding" }),
  file("file:failed", "report-21", { error: { type: "RateLimited", message: "the model asks to wait", stage: "embedding", retryable: true } }),
]);

/** What is looked at: how to get there from the page of a pipeline, and back. */
const SIGHTS = [
  ["list", async () => {}, async () => {}],
  ["failed", (view) => view.filter("Failed").click(), (view) => view.filter("All").click()],
  ["sheet-failed", (view) => sheet(view, "report-22"), escape],
  ["sheet-running", (view) => sheet(view, "report-32"), escape],
  ["help", async (view) => {
    await view.button("Help and keys").click();
    await view.help.waitFor();
  }, escape],
  ["connection", (view) => view.link.getByRole("button").click(), escape],
  ["nothing-found", async (view) => {
    await view.search.fill("nothing is called this");
    await view.page.getByText(/^No file matches/).first().waitFor();
  }, (view) => view.search.fill("")],
];

async function sheet(view, id) {
  await view.page.evaluate((id) => (location.hash += `&file=${id}`), id);
  await view.sheet(`${id}.txt`).getByRole("listitem").nth(2).waitFor();
}

async function escape(view) {
  await view.page.keyboard.press("Escape");
  await view.page.locator("dialog[open]").waitFor({ state: "detached" });
}

for (const dark of [true, false]) {
  for (const width of [1280, 360]) {
    const name = `${dark ? "dark" : "light"}-${width}`;
    const size = { dark, width, height: width === 360 ? 780 : 860 };
    const look = async (view, sight) => {
      await view.assertNoOverflow(`${sight}-${name}`);
      await view.screenshot(`dashboard-${sight}-${name}`);
      return assertAccessible(view.page, `${sight}-${name}`);
    };

    test(`nothing is found in a pipeline, ${name}`, { timeout: 180_000 }, async () => {
      const view = await openPage(browser, hub.url, { ...size, height: 1_600, hash: "#pipeline=documents" });
      try {
        await view.row("report-32.txt").waitFor({ timeout: 60_000 });
        await view.connected("websocket");
        await view.page.setViewportSize({ width, height: size.height });
        const rules = [];
        for (const [sight, there, back] of SIGHTS) {
          await there(view);
          rules.push(`${sight} ${await look(view, sight)}`);
          await back(view);
        }
        measured(`axe-core, ${name}: no rule is broken; rules that hold: ${rules.join(", ")}`);
        await view.assertClean();
      } finally {
        await view.close();
      }
    });

    test(`nothing is found where there is no pipeline, and where a token is wanted, ${name}`, { timeout: 120_000 }, async () => {
      const empty = await openPage(browser, bare.url, size);
      const shut = await openPage(browser, locked.url, size);
      try {
        await empty.shows(empty.title, /^No pipelines yet$/);
        await look(empty, "empty");
        await shut.token.waitFor();
        await look(shut, "token");
      } finally {
        await empty.close();
        await shut.close();
      }
    });
  }
}
