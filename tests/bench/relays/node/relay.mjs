/**
 * A relay of events as the seed's plan has it, on Node's socket.io with its default settings: a room for each pipeline,
 * and the last state for who subscribes. Neither crippled nor tuned: what a hub is measured against; see
 * docs/benchmarks.md.
 *
 * What may come in: well-meant requests on loopback. What it never does: serve anybody but a benchmark.
 */
import { createServer } from "node:http";

import { Server } from "socket.io";

const COMPLETED = 10;
const FAILED = 5;
const states = new Map();

function fresh(pipeline) {
  return {
    pipeline_id: pipeline,
    status: "offline",
    files_processing: [],
    files_completed: [],
    files_failed: [],
    total_processed: 0,
    total_failed: 0,
  };
}

/** Takes note of an event in the status dict of the reference application. */
function apply(pipeline, event, data) {
  let state = states.get(pipeline);
  if (state === undefined) {
    state = fresh(pipeline);
    states.set(pipeline, state);
  }
  const remove = () => {
    state.files_processing = state.files_processing.filter((file) => file.name !== data.file.name);
  };
  switch (event) {
    case "pipeline:online":
    case "pipeline:offline":
      state.status = event.slice("pipeline:".length);
      state.pipeline_type = data.pipeline_type ?? state.pipeline_type;
      break;
    case "file:processing":
      remove();
      state.files_processing.push(data.file);
      break;
    case "file:completed":
      remove();
      state.files_completed = [...state.files_completed, data.file].slice(-COMPLETED);
      state.total_processed += 1;
      break;
    case "file:failed":
      remove();
      state.files_failed = [...state.files_failed, data.file].slice(-FAILED);
      state.total_failed += 1;
      break;
    case "status:update":
      Object.assign(state, data.changes);
      break;
  }
}

const server = createServer(async (request, response) => {
  const path = /^\/api\/pipelines\/([^/]+)\/events$/.exec(request.url);
  if (request.method !== "POST" || path === null) {
    response.writeHead(request.url === "/health" ? 200 : 404, { "content-length": 0 }).end();
    return;
  }
  const chunks = [];
  for await (const chunk of request) {
    chunks.push(chunk);
  }
  // One event, or one a line; answered when all were emitted.
  let accepted = 0;
  for (const line of Buffer.concat(chunks).toString().split("\n")) {
    if (line === "") {
      continue;
    }
    const { event, data } = JSON.parse(line);
    apply(path[1], event, data);
    io.to(path[1]).emit(event, data);
    accepted += 1;
  }
  const answer = JSON.stringify({ accepted });
  response.writeHead(200, { "content-type": "application/json", "content-length": answer.length }).end(answer);
});

const io = new Server(server);
io.on("connection", (socket) => {
  socket.on("subscribe", ({ pipeline_id }) => {
    socket.join(pipeline_id);
    socket.emit("pipeline:status", states.get(pipeline_id) ?? fresh(pipeline_id));
  });
  socket.on("unsubscribe", ({ pipeline_id }) => {
    socket.leave(pipeline_id);
  });
});

server.listen(0, "127.0.0.1", () => {
  console.log(`The Node relay is at http://127.0.0.1:${server.address().port}`);
});
