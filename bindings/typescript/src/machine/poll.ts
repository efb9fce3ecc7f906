// The connection machine's rules for polling.
//
// What may come in: answers to polls, also to such as were given up. What it never does: believe an answer that is not
// waited for.
import type { Code, PipelineId } from "../generated/index.js";
import type { Core } from "./core.js";
import type { Cause, InputOf } from "./io.js";

/** How long polls rest while nobody can be looking; they are due at once when somebody is. */
const HIDDEN_MS = 15_000;

/** Starts the polls that are due. */
export function startPolls(core: Core, now: number): void {
  core.polls.startDue(
    now,
    (pipeline) => core.pipelines.cursor(pipeline),
    (poll, pipeline, cursor, waitSeconds) => core.push({ type: "poll", poll, pipeline, cursor, waitSeconds }),
  );
  const list = core.pipelines.scope ? core.polls.startList(now) : null;
  if (list !== null) core.push({ type: "list", list });
}

const isExpected = (core: Core, pipeline: string, poll: number): boolean => core.isPolling && core.polls.expects(pipeline, poll);

/** A poll was answered. */
export function onPolled(core: Core, now: number, answer: InputOf<"poll_answered">): void {
  const { poll, pipeline, messages, bad, unknown } = answer;
  if (!isExpected(core, pipeline, poll)) return;
  // A poll asks for what comes after the cursor: it is a resync by itself.
  core.pipelines.answered(pipeline);
  const before = core.polls.askedFrom(pipeline);
  if (unknown) core.emit(core.pipelines.unknown(pipeline, before));
  for (const message of messages) core.emit(core.pipelines.receive(message).update);
  core.pipelines.answered(pipeline);
  if (bad) core.pipelines.wantSnapshot(pipeline);
  // What brings nothing new is no news, however much it is: a cache may answer the same again and again.
  const after = core.pipelines.cursor(pipeline);
  const isNews = after?.epoch !== before?.epoch || after?.seq !== before?.seq;
  core.polls.answered(pipeline, isNews && !bad, pauseAfter(core, pipeline), now);
  if (!core.pipelines.has(pipeline)) core.stopPoll(pipeline);
  core.pollCause = null;
}

/** How long a poll rests after an answer: nothing of its own where it is held and somebody may be looking. */
function pauseAfter(core: Core, pipeline: PipelineId): number {
  const least = core.hidden ? HIDDEN_MS : 0;
  const { intervals } = core;
  if (!intervals) return least;
  const state = core.pipelines.state(pipeline);
  if (!state || state.liveness === "offline" || state.liveness === "lost") return Math.max(intervals.offlineMs, least);
  const { queued, processing } = state.counts;
  return Math.max(queued + processing > 0 ? intervals.busyMs : intervals.idleMs, least);
}

/** A poll failed. */
export function onPollFailed(core: Core, now: number, failure: InputOf<"poll_failed">): void {
  const { poll, pipeline, code, message, retryAfterMs } = failure;
  if (!isExpected(core, pipeline, poll)) return;
  const askedFrom = core.polls.askedFrom(pipeline);
  core.polls.failed(pipeline, retryAfterMs, core.rest, now);
  // What a hub says of one pipeline shows that polls work.
  core.polls.healthy = true;
  switch (code) {
    case "forbidden":
      core.end(pipeline, code);
      return;
    case "invalid_cursor":
      core.pipelines.wantSnapshot(pipeline);
      return;
    case "unknown_pipeline":
      core.emit(core.pipelines.unknown(pipeline, askedFrom));
      if (!core.pipelines.has(pipeline)) core.stopPoll(pipeline);
      return;
    default:
      refused(core, code, message);
  }
}

/** Says why nothing comes; ends everything where every answer would be the same. */
function refused(core: Core, code: Code | null, message: string): void {
  const cause: Cause = code === null ? core.failure(message) : { kind: "rejected", code, message };
  if (code === "unauthorized" || code === "foreign_host" || code === "foreign_origin") core.close(cause);
  else core.pollCause = cause;
  core.polls.healthy = false;
}

/** Follows these too. */
export function follow(core: Core, now: number, { pipelines }: InputOf<"follow">): void {
  for (const id of pipelines) {
    if (!core.pipelines.add(id, true)) continue;
    core.isFixed = false;
    // A subscription to everything that is still to be asked for has it too; asking again is harmless.
    core.link()?.resync(id, now);
    if (core.isPolling) core.polls.add(id, now);
  }
}

/** Follows these no more. */
export function unfollow(core: Core, _: number, { pipelines }: InputOf<"unfollow">): void {
  const gone = pipelines.filter((id) => core.pipelines.remove(id));
  if (core.step.at === "talk" && gone.length > 0) core.push({ type: "unsubscribe", conn: core.step.conn, pipelines: gone });
  for (const id of gone) {
    core.stopPoll(id);
    core.emit({ kind: "removed", pipeline: id });
  }
}

/** The hub told its pipelines, or null where it could not be asked. */
export function onListed(core: Core, now: number, { list, pipelines, code, message }: InputOf<"listed">): void {
  if (!core.isPolling || !core.polls.expectsList(list)) return;
  for (const { pipeline_id: id, pipeline_type: type } of pipelines ?? []) {
    if (core.pipelines.covers(type)) core.pipelines.add(id, false);
    if (core.pipelines.has(id)) core.polls.add(id, now);
  }
  if (!core.polls.listed(pipelines !== null, core.rest, now)) return;
  if (pipelines) core.pollCause = null;
  else refused(core, code, message);
}
