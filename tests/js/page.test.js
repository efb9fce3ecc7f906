// What the hub sends of its dashboard: the page and its parts, under a policy, cached as they may be.
import assert from "node:assert/strict";
import { test } from "node:test";

import { startHub } from "./support/program.mjs";

const hub = await startHub();
const get = (path, headers = {}) => fetch(new URL(path, `${hub.url}/`), { headers });

/** What the page loads, by its relative addresses. */
async function parts() {
  const text = await (await get("")).text();
  return [...text.matchAll(/(?:src|href)="(\.\/[^"]+)"/g)].map(([, path]) => path);
}

test("the page is sent under a policy that lets in nothing foreign", async () => {
  const page = await get("");
  assert.equal(page.status, 200);
  assert.equal(page.headers.get("content-type"), "text/html; charset=utf-8");
  const policy = page.headers.get("content-security-policy");
  for (const part of ["default-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]) {
    assert.ok(policy.includes(part), policy);
  }
  assert.doesNotMatch(policy, /unsafe|https?:/);
  assert.equal(page.headers.get("x-content-type-options"), "nosniff");
  assert.equal(page.headers.get("referrer-policy"), "no-referrer");
  const text = await page.text();
  assert.doesNotMatch(text, /<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=/i, "nothing inline");
  assert.doesNotMatch(text, /(?:src|href)="(?:\/|\w+:)/i, "only what lies beside it, so that it may be below any path");
});

test("every part is there, named by its content and kept for good; the page itself is asked for again", async () => {
  const found = await parts();
  assert.ok(found.some((path) => path.endsWith(".js")) && found.some((path) => path.endsWith(".css")), String(found));
  const kinds = { js: "text/javascript; charset=utf-8", css: "text/css; charset=utf-8", svg: "image/svg+xml" };
  for (const path of found) {
    const part = await get(path);
    assert.equal(part.status, 200, path);
    assert.equal(part.headers.get("content-type"), kinds[path.split(".").at(-1)], path);
    assert.match(part.headers.get("cache-control"), /immutable/, path);
    assert.ok((await part.arrayBuffer()).byteLength > 100, path);
  }
  const page = await get("");
  assert.equal(page.headers.get("cache-control"), "no-cache");
  const tag = page.headers.get("etag");
  const again = await get("", { "if-none-match": tag });
  assert.equal(again.status, 304);
  assert.equal(again.headers.get("etag"), tag);
  assert.ok(again.headers.get("content-security-policy"));
  assert.equal((await get("", { "if-none-match": 'W/"other"' })).status, 200);
});

test("scripts are sent compressed, and hold no path or address of whoever built them", async () => {
  const script = (await parts()).find((path) => path.endsWith(".js"));
  const packed = await get(script, { "accept-encoding": "gzip" });
  assert.equal(packed.headers.get("content-encoding"), "gzip");
  const text = await packed.text();
  assert.doesNotMatch(text, /node_modules|sourceMappingURL|\/(?:home|work|Users|root)\//);
  const licences = await (await get("assets/licences.txt")).text();
  for (const name of ["react ", "react-dom ", "socket.io-client ", "@tanstack/react-virtual "]) assert.ok(licences.includes(name), name);
});

test("what was not built is not there", async () => {
  for (const path of ["assets/app.js", "assets/..%2findex.html", "assets/%2e%2e/%2e%2e/README.md", "assets/"]) {
    const answer = await get(path);
    assert.equal(answer.status, 404, path);
    assert.doesNotMatch(await answer.text(), /<!doctype|# The page/i);
  }
  assert.equal((await fetch(`${hub.url}/`, { method: "POST", headers: { "content-type": "application/json" }, body: "{}" })).status, 405);
});
