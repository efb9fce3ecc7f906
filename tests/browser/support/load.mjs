// Events at a steady rate, as a pipeline that is at work reports them.
//
// What may come in: a hub, a pipeline, a rate. What it never does: report a kind of event that the hub may conflate, or
// two requests at once, so that what is reported has one order.
import { setTimeout as pause } from "node:timers/promises";

import { file } from "../../js/support/program.mjs";
import { now } from "./harness.mjs";

/** The events of one file's life, one at a time. */
function* lives() {
  for (let n = 1; ; n += 1) {
    yield file("file:queued", `load-${n}`);
    yield file("file:processing", `load-${n}`, { processing_stage: "extraction" });
    yield n % 5 ? file("file:completed", `load-${n}`) : file("file:failed", `load-${n}`);
  }
}

/** Reports so many events a second until it is stopped; `stop` gives how many there were and the last `seq`. */
export function startLoad(hub, pipeline, perSecond) {
  const events = lives();
  const load = { sent: 0, seq: 0 };
  let isOver = false;
  const run = (async () => {
    const began = now();
    while (!isOver) {
      // What is due by the clock: it catches up after a pause.
      const due = Math.floor(((now() - began) / 1000) * perSecond) - load.sent;
      if (due > 0) {
        const batch = Array.from({ length: Math.min(due, 50) }, () => events.next().value);
        ({ seq: load.seq } = await hub.publish(pipeline, batch));
        load.sent += batch.length;
      } else {
        await pause(Math.max(1, 1000 / perSecond / 2));
      }
    }
    load.rate = load.sent / ((now() - began) / 1000);
  })();
  // So that a failure is told by whoever stops it, and not before.
  run.catch(() => {});
  load.stop = async () => {
    isOver = true;
    await run;
    return load;
  };
  return load;
}
