// Compiled, never run: what the generated types accept for a socket of socket.io-client, and what they refuse.
import {
  EVENTS,
  LATEST_WINS_EVENTS,
  PROTOCOL_VERSION,
  type ClientToServerEvents,
  type EventPayloads,
  type FileQueued,
  type IngestClientToServerEvents,
  type IngestServerToClientEvents,
  type PublishReply,
  type ReportedEvent,
  type ServerToClientEvents,
  type TypedReport,
} from "@ragpulse/client";
import type { Socket } from "socket.io-client";
import type { Socket as OldSocket } from "socket.io-client-old";

declare const socket: Socket<ServerToClientEvents, ClientToServerEvents>;
declare const old: OldSocket<ServerToClientEvents, ClientToServerEvents>;
declare const ingest: Socket<IngestServerToClientEvents, IngestClientToServerEvents>;

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const yes = <T extends true>(): T | undefined => undefined;

// --- What a hub sends.
socket.on("file:progress", (event) => {
  const progress: number = event.progress;
  const stage: string | undefined = event.processing_stage;
  const seq: number = event.seq;
  const at: string = event.received_at;
  // @ts-expect-error there is no such field
  event.percentage;
  // @ts-expect-error an optional field may be absent
  const eta: number = event.eta_seconds;
  return [progress, stage, seq, at, eta];
});
socket.on("pipeline:status", (status) => status.files.map((file) => file.state === "processing"));
socket.on("x:reindexed", (event) => [event.seq satisfies number, event["anything"] satisfies unknown]);
socket.on("connect", () => undefined);
// @ts-expect-error there is no such event
socket.on("file:done", () => undefined);
// @ts-expect-error a file that is queued carries no progress
socket.on("file:queued", (event: { progress: number }) => event.progress);
old.on("file:failed", (event) => event.error.message satisfies string);
// @ts-expect-error there is no such event
old.on("file:done", () => undefined);

// --- Required is required, optional is optional and never null.
yes<Same<FileQueued["file"]["id"], string>>();
yes<Same<FileQueued["previous_state"], EventPayloads["file:completed"]["previous_state"]>>();
yes<Same<Extract<FileQueued["queue_position"], null>, never>>();
yes<Same<EventPayloads["file:completed"]["success"], true>>();
// @ts-expect-error the fields that the hub fills in are always there
const incomplete: FileQueued = { file: { id: "a", name: "a" }, change: "created" };
void incomplete;

// --- Commands and their acknowledgements.
socket.emit("subscribe", { pipeline_ids: ["drive"], cursors: { drive: { epoch: "e", seq: 4 } } }, (reply) => {
  if ("error" in reply) {
    const retryable: boolean = reply.error.retryable;
    return retryable;
  }
  return reply.pipelines.map((pipeline) => pipeline.recovered satisfies boolean);
});
const answered: Promise<number> = socket.emitWithAck("ping", Date.now());
void answered;
// @ts-expect-error a cursor's seq is a number
socket.emit("subscribe", { cursors: { drive: { epoch: "e", seq: "4" } } }, () => undefined);
// @ts-expect-error the acknowledgement of ping is a number
socket.emit("ping", 1, (reply: string) => reply);
// @ts-expect-error there is no such command
socket.emit("subscribe:all", {}, () => undefined);
// @ts-expect-error subscribers do not publish
socket.emit("publish", { pipeline_id: "drive", events: [] }, () => undefined);

// --- Reports.
const receipt: Promise<PublishReply> = ingest.emitWithAck("publish", {
  pipeline_id: "drive",
  events: [
    { event: "pipeline:online", event_id: "1", data: { check_interval: 60 } },
    { event: "file:completed", data: { file: { name: "a.pdf" }, results: { chunks_created: 3 } } },
    { event: "x:reindexed", data: { shards: 2 } },
    { event: "heartbeat" },
  ],
});
void receipt;
const untyped: ReportedEvent = { event: "heartbeat" };
void untyped;
// @ts-expect-error a file has a name
const nameless: TypedReport = { event: "file:queued", data: { file: {} } };
// @ts-expect-error of another event
const foreign: TypedReport = { event: "file:queued", data: { file: { name: "a" }, progress: 0.5 } };
// @ts-expect-error progress needs its figure
const without: TypedReport = { event: "file:progress", data: { file: { name: "a" } } };
// @ts-expect-error only a hub says that
const removed: TypedReport = { event: "pipeline:removed", data: {} };
void [nameless, foreign, without, removed];

// --- Names and version are constants.
yes<Same<typeof PROTOCOL_VERSION, 1>>();
yes<Same<(typeof EVENTS)[number], keyof EventPayloads>>();
yes<Same<(typeof LATEST_WINS_EVENTS)[number], "file:progress">>();
