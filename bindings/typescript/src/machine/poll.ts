// The connection machine's rules for polling.
//
// What may come in: answers to polls, also to such as were given up. What it never does: believe an answer that is not
// waited for.
import type { Code } from "../generated/index.js";
import type { Core } from "./core.js";
import type { Cause, Input } from "./io.js";

/** Starts the polls that are due. */
export function startPolls(core: Core, now: number): void {
  core.polls.startDue(
    now,
    (pipeline) => core.pipelines.cursor(pipeline),
    (poll, pipeline, cursor, waitSeconds) => core.push({ type: "poll", poll, pipeline, cursor, waitSeconds }),
  );
}

const isExpected = (core: Core, pipeline: string, poll: number): boolean => core.isPolling && core.polls.expects(pipeline, poll);

/** A poll was answered. */
export function onPolled(core: Core, now: number, answer: Extract<Input, { type: "poll_answered" }>): void {
  const { poll, pipeline, messages, bad, unknown } = answer;
  if (!isExpected(core, pipeline, poll)) return;
  // A poll asks for what comes after the cursor: it is a resync by itself.
  core.pipelines.answered(pipeline);
  if (unknown) core.emit(core.pipelines.unknown(pipeline, core.polls.askedFrom(pipeline)));
  for (const message of messages) core.emit(core.pipelines.receive(message).update);
  core.pipelines.answered(pipeline);
  if (bad) core.pipelines.wantSnapshot(pipeline);
  core.polls.answered(pipeline, messages.length > 0 && !bad, now, core.hidden);
  core.pollCause = null;
}

/** A poll failed. */
export function onPollFailed(core: Core, now: number, failure: Extract<Input, { type: "poll_failed" }>): void {
  const { poll, pipeline, code, message, retryAfterMs } = failure;
  if (!isExpected(core, pipeline, poll)) return;
  const askedFrom = core.polls.askedFrom(pipeline);
  core.polls.failed(pipeline, retryAfterMs, core.rest, now);
  switch (code) {
    case "unauthorized":
    case "foreign_host":
    case "foreign_origin":
      core.close({ kind: "rejected", code, message });
      return;
    case "forbidden":
      endPipeline(core, pipeline, code);
      return;
    case "invalid_cursor":
      core.pipelines.wantSnapshot(pipeline);
      return;
    case "unknown_pipeline":
      core.emit(core.pipelines.unknown(pipeline, askedFrom));
      return;
    default: {
      const kind = core.offline ? "offline" : "failed";
      const cause: Cause = code === null ? { kind, message } : { kind: "rejected", code, message };
      core.pollCause = cause;
    }
  }
}

/** Ends the subscription to one pipeline; after the last one there is nothing left to do. */
export function endPipeline(core: Core, pipeline: string, code: Code): void {
  core.emit(core.pipelines.end(pipeline, code));
  if (core.isPolling) {
    core.polls.remove(pipeline);
    core.push({ type: "stop_poll", pipeline });
  }
  if (core.pipelines.isOver) core.close({ kind: "rejected", code, message: "every subscription has ended" });
}
