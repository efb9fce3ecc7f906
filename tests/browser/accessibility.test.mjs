// The page at / of a live hub, looked at by axe-core, in both themes and at two widths; with a picture of each.
import { mkdir } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { range } from "../js/support/clients.mjs";
import { file, startHub } from "../js/support/program.mjs";
import { assertAccessible } from "./support/axe.mjs";
import { openPage, startBrowser } from "./support/browser.mjs";
import { measured } from "./support/harness.mjs";

const SCREENSHOTS = fileURLToPath(new URL("screenshots/", import.meta.url));
const hub = await startHub();
const browser = await startBrowser();
await mkdir(SCREENSHOTS, { recursive: true });

// Something of everything that can be shown.
await hub.open("handbook", "google_drive");
await hub.publish("handbook", range(1, 12).map((n) => file("file:queued", `page-${n}`)));
await hub.open("documents", "local_files", { watch_location: "/srv/documents", check_interval: 60 });
await hub.publish("documents", [
  ...range(1, 60).map((n) => file("file:queued", `report-${n}`)),
  ...range(1, 40).map((n) => file("file:processing", `report-${n}`, { processing_stage: "extraction" })),
  ...range(1, 20).map((n) => file("file:completed", `report-${n}`, { results: { chunks_created: n, processing_duration: n / 10 } })),
  ...range(21, 26).map((n) => file("file:failed", `report-${n}`, { error: { type: "ParseError", message: "no text in page 7", stage: "extraction", retryable: n % 2 === 0 } })),
  ...range(27, 30).map((n) => file("file:skipped", `report-${n}`, { reason: "unchanged" })),
  file("file:cancelled", "report-31"),
  ...range(32, 36).map((n) => file("file:progress", `report-${n}`, { processing_stage: "embedding", progress: n / 40, current: n, total: 40, unit: "chunks", eta_seconds: 30 })),
]);

for (const dark of [true, false]) {
  for (const width of [1280, 360]) {
    const name = `dashboard-${dark ? "dark" : "light"}-${width}`;
    test(`nothing is found in ${name}`, { timeout: 120_000 }, async () => {
      const view = await openPage(browser, hub.url, { dark, width, height: width === 360 ? 780 : 860, hash: "#pipeline=documents" });
      try {
        await view.page.getByText(/^report-3[2-6]/).first().waitFor({ state: "visible", timeout: 60_000 });
        await view.page.screenshot({ path: `${SCREENSHOTS}${name}.png` });
        const rules = await assertAccessible(view.page, name);
        measured(`${name}: ${rules} rules of axe-core hold, none is broken`);
      } finally {
        await view.close();
      }
    });
  }
}
