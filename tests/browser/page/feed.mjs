// A socket's place taken by a source of messages inside the page, so that the store gets what a hub would conflate.
//
// What may come in: how many messages. What it never does: hand over two messages in one task, which no socket does.

const PIPELINE = "fed";
const EPOCH = "fed";

/** The options that make a store follow it, and how to set it off. */
export function feed() {
  const listeners = new Map();
  let any = () => {};
  let seq = 0;
  const socket = {
    active: true,
    on: (event, listener) => listeners.set(event, listener),
    onAny: (listener) => (any = listener),
    emit(event, ...args) {
      const answer = args.at(-1);
      setTimeout(() => answer(event === "subscribe" ? { pipelines: [{ pipeline_id: PIPELINE, recovered: false, replayed: 0 }] } : Date.now()));
    },
    disconnect: () => {},
  };
  const send = (event, data) => {
    seq += 1;
    const at = new Date().toISOString();
    any(event, { pipeline_id: PIPELINE, pipeline_type: "local_files", epoch: EPOCH, seq, timestamp: at, received_at: at, ...data });
  };
  return {
    options: {
      pipelines: [PIPELINE],
      transport: "websocket",
      fetch: () => Promise.reject(new Error("there is no hub")),
      io: () => {
        setTimeout(() => listeners.get("connect")());
        return socket;
      },
    },
    send,
    /** Sends `count` progress events of one file, each in a task of its own, as fast as tasks come. */
    async progress(count) {
      const file = { id: "one", name: "one.pdf" };
      send("file:processing", { file, status: "processing" });
      const { port1, port2 } = new MessageChannel();
      let sent = 0;
      await new Promise((resolve) => {
        port1.onmessage = () => {
          sent += 1;
          send("file:progress", { file, progress: sent / count, current: sent, total: count, processing_stage: "embedding" });
          if (sent === count) resolve();
          else port2.postMessage(null);
        };
        port2.postMessage(null);
      });
      return seq;
    },
  };
}
