// What axe-core finds wrong with a page for people who use a keyboard, a screen reader or a contrast that can be read.
//
// What may come in: any page, under any policy: it is put in by the debugger, which no policy binds. What it never does:
// leave out a rule.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const source = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Nothing is found in the page as it stands. `what` says what it shows. */
export async function assertAccessible(page, what) {
  await page.evaluate(source);
  const { violations, passes } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations", "passes"] }));
  const found = violations.map(({ id, help, impact, nodes }) => ({
    id, impact, help, count: nodes.length,
    nodes: nodes.slice(0, 4).map(({ target, failureSummary }) => `${target.join(" ")}: ${failureSummary?.split("\n").slice(1).join(" ").slice(0, 300)}`),
  }));
  assert.ok(passes.length > 10, `axe found something to look at: ${passes.length} rules`);
  assert.deepEqual(found, [], `${what}: ${JSON.stringify(found, null, 2)}`);
  return passes.length;
}
