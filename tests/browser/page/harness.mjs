// The page of the client's tests: follows pipelines by @ragpulse/client and writes down what it was told, and when.
//
// What may come in: calls from the test, by `globalThis`. What it never does: leave out or sum up an update.
import { connectPipelineStatus } from "@ragpulse/client";

import { feed } from "./feed.mjs";
import { List } from "./list.mjs";

/** Milliseconds since 1970 with fractions: the same clock in Node.js and the page. */
const now = () => performance.timeOrigin + performance.now();

let store = null;
/** Everything that was told, in order; `state` is what the connection was said to be at that time. */
const log = [];
/** Tasks of more than 50 ms. */
const long = [];
let notified = 0;

new PerformanceObserver((entries) => {
  for (const { startTime, duration } of entries.getEntries()) long.push({ at: performance.timeOrigin + startTime, duration });
}).observe({ type: "longtask", buffered: true });

function note(state, update) {
  const { kind } = update;
  const entry = { at: now(), kind, state };
  if (kind === "connection") entry.cause = update.status.cause;
  else entry.pipeline = update.pipeline;
  if (kind === "event") Object.assign(entry, { seq: update.event.data.seq, event: update.event.event, anomalies: update.anomalies.length });
  if (kind === "snapshot") entry.reason = update.reason;
  log.push(entry);
}

/** Begins to follow. `list` names the pipeline whose files are listed; `fed` follows what {@link feed} makes, not a hub. */
function follow({ list, fed, ...options }) {
  const view = list ? new List(document.querySelector("#list"), now) : null;
  const source = fed ? feed() : null;
  const opened = now();
  store = connectPipelineStatus({ ...options, ...source?.options });
  let state = "connecting";
  store.onUpdate((update) => {
    if (update.kind === "connection") state = update.status.state;
    if (update.kind === "event") view?.expect(update.event);
    note(state, update);
  });
  store.subscribe(() => {
    notified += 1;
    document.querySelector("#connection").textContent = store.connection.state;
    view?.show(list, store);
  });
  return Object.assign(globalThis.harness, { source, view, opened });
}

globalThis.harness = {
  log,
  long,
  now,
  follow: (options) => void follow(options),
  get store() {
    return store;
  },
  get notified() {
    return notified;
  },
  reached: (pipeline) => store?.getSnapshot(pipeline)?.seq ?? 0,
};
