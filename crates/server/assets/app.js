// The entry: the connection feeds the meters and the view.

import { Hub } from "./connection.js";
import { Meter } from "./rates.js";
import { View } from "./view.js";

const ENDS = new Set(["file:completed", "file:failed", "file:skipped", "file:cancelled"]);

const meters = new Map();
const metersOf = (id) => {
  if (!meters.has(id)) meters.set(id, { ended: new Meter(), events: new Meter() });
  return meters.get(id);
};

let view = null;
const hub = new Hub({
  onMessage(pipeline, { event, data }, { verdict }) {
    const { ended, events } = metersOf(pipeline.id);
    if (verdict === "apply") {
      events.add(hub.now());
      // When it happened, so that a replay makes no peak.
      if (ENDS.has(event)) ended.add(Date.parse(data.received_at));
    } else if (verdict === "replace") {
      // What the snapshot tells of the last minutes, in place of what was counted before.
      const fresh = metersOf(pipeline.id);
      fresh.ended = new Meter();
      for (const file of data.files) if (file.completed_at) fresh.ended.add(Date.parse(file.completed_at));
    }
    view?.invalidate();
  },
  onChange: () => view?.invalidate(),
});

view = new View(hub, metersOf);
hub.start();
addEventListener("online", () => hub.retry());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) hub.retry();
});
