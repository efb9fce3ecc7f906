// @ragpulse/client in a page obeys what a hub says of how it wants to be followed, unless the page says otherwise.
import assert from "node:assert/strict";
import { test } from "node:test";

import { range } from "../js/support/clients.mjs";
import { file, fresh, startHub } from "../js/support/program.mjs";
import { startBrowser } from "./support/browser.mjs";
import { follow, measured, startHarness } from "./support/harness.mjs";
import { startProxy } from "./support/proxy.mjs";

const browser = await startBrowser();
const harness = await startHarness();
const hub = await startHub();

/** CRC-32 of ASCII, written anew: a client is in one of a hundred parts by this, in every language. */
function part(id) {
  let crc = ~0;
  for (const byte of Buffer.from(id)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return (~crc >>> 0) % 100;
}
const ids = range(1, 1_000).map((n) => `client-${n}`);
const inside = ids.find((id) => part(id) < 50);
const outside = ids.find((id) => part(id) >= 50);
assert.deepEqual([part("123456789")], [0xcbf43926 % 100], "the check value of CRC-32");

/** What comes of an advice for a client: how it is connected, and whether it opened a socket at all. */
async function outcome(t, info, options) {
  const pipeline = fresh("rollout");
  await hub.open(pipeline);
  const proxy = await startProxy(hub.url);
  proxy.info = (said) => ({ ...said, ...info });
  const page = await follow(t, browser, harness, { url: proxy.url, pipelines: [pipeline], ...options });
  await page.reach(1);
  await page.until(() => ["websocket", "polling"].includes(globalThis.harness.store.connection.state), null, "a connection");
  const { seq } = await hub.publish(pipeline, file("file:queued", "a"), file("file:processing", "a"));
  await page.assertExact(hub, seq);
  const { state, cause } = await page.connection();
  assert.equal(proxy.accepted, state === "websocket" ? 1 : 0, "no socket was opened but that which is used");
  return { state, cause: cause?.kind ?? null, asked: proxy.requests.filter((path) => path === "/api/socket/info").length, proxy, page, pipeline };
}

const SOCKET = { state: "websocket", cause: null, asked: 1 };
const ADVISED = { state: "polling", cause: "advised", asked: 1 };

for (const [name, info, options, expected] of [
  ["nothing special", {}, {}, SOCKET],
  ["transport: websocket", { transport: "websocket" }, {}, SOCKET],
  ["transport: polling", { transport: "polling" }, {}, ADVISED],
  ["rollout 0, a client of part 0", { rollout_percentage: 0 }, { clientId: ids.find((id) => part(id) === 0) }, ADVISED],
  ["rollout 50, a client within", { rollout_percentage: 50 }, { clientId: inside }, SOCKET],
  ["rollout 50, a client beyond", { rollout_percentage: 50 }, { clientId: outside }, ADVISED],
  ["rollout 100, a client of part 99", { rollout_percentage: 100 }, { clientId: ids.find((id) => part(id) === 99) }, SOCKET],
  ["polling, but the page wants the socket", { transport: "polling", rollout_percentage: 0 }, { transport: "websocket" }, SOCKET],
  ["websocket, but the page wants polling", { transport: "websocket" }, { transport: "polling" }, { state: "polling", cause: "chosen", asked: 0 }],
  ["what no client knows", { transport: "carrier-pigeon", rollout_percentage: "many" }, {}, SOCKET],
]) {
  test(`advice: ${name}`, { timeout: 90_000 }, async (t) => {
    const { state, cause, asked } = await outcome(t, info, options);
    assert.deepEqual({ state, cause, asked }, expected);
  });
}

test("a rollout of 50 of 100 takes about half of all clients, and the same ones each time", { timeout: 60_000 }, async () => {
  const taken = ids.filter((id) => part(id) < 50).length;
  measured(`rollout 50 takes ${taken} of ${ids.length} client ids`);
  assert.ok(taken > 400 && taken < 600);
});

test("the hub's own flags say the same", { timeout: 90_000 }, async (t) => {
  for (const [flags, state] of [[["--transport", "polling"], "polling"], [["--rollout", "0"], "polling"], [["--rollout", "100"], "websocket"]]) {
    const own = await startHub(...flags);
    const pipeline = fresh("flags");
    await own.open(pipeline);
    const page = await follow(t, browser, harness, { url: own.url, pipelines: [pipeline] });
    await page.connected(state);
    await page.reach(1);
  }
});

test("an advice that changes is obeyed when it is next asked for: from polling to the socket", { timeout: 180_000 }, async (t) => {
  const { state, proxy, page, pipeline } = await outcome(t, { transport: "polling" }, {});
  assert.equal(state, "polling");
  proxy.info = null;
  // It asks again every 30 s at most.
  await page.connected("websocket", 90);
  const { seq } = await hub.publish(pipeline, file("file:completed", "a"));
  await page.assertExact(hub, seq);
  const seen = (await page.log()).filter(({ kind }) => kind === "connection");
  const [polling, socket] = seen.filter(({ state }) => state !== "connecting");
  measured(`advice changed from polling to auto: on the socket ${((socket.at - polling.at) / 1000).toFixed(0)} s after polling began`);
});
