// The connection machine's rules for the socket.
//
// What may come in: what a socket tells, also one that was given up. What it never does: believe a socket that is not
// the current one; go live by a socket that has not answered for everything.
import type { Code, SubscribeAck, SubscribeReply } from "../generated/index.js";
import { isMessage, type Message } from "../messages.js";
import { isRetryable } from "./codes.js";
import { type Core, OPEN_WITHIN_MS } from "./core.js";
import { LONGEST_ASKED_MS } from "./guide.js";
import type { Cause } from "./io.js";
import { Link, type Question, SILENCE_MS } from "./link.js";
import { endPipeline } from "./poll.js";

/** After how many failures in a row polling takes over. */
const FAILURES = 3;
/** Over how long at least those come back whose socket broke: with a hub's usual second there is data within two. */
const LOST_SPREAD_MS = 500;
/** How long a pipeline rests before it is asked for again in vain. */
const REST_MS = 1_000;

/** The hub has let the socket in. */
export function onOpened(core: Core, now: number, conn: number): void {
  const { phase } = core;
  if (phase.name === "connecting" && phase.conn === conn) core.phase = { name: "joining", link: new Link(conn, now) };
  if (phase.name === "probing" && phase.conn === conn) core.phase = { name: "proving", link: new Link(conn, now) };
}

/** The hub, or something before it, does not let the socket in. */
export function onRefused(core: Core, now: number, conn: number, code: Code | null, message: string): void {
  // No hub's word: a proxy, or a server that is none. Polling may get through.
  if (code === null) onLost(core, now, conn, { kind: "refused", message });
  else if (isRetryable(code)) onLost(core, now, conn, { kind: "rejected", code, message });
  // One authoriser speaks for all transports: polling would be told the same.
  else if (core.conn === conn) core.close({ kind: "rejected", code, message });
}

/** The socket broke, or could not be opened. */
export function onBroken(core: Core, now: number, conn: number, message: string): void {
  onLost(core, now, conn, { kind: core.offline ? "offline" : "failed", message });
}

/** Opening the socket takes too long. */
export function onSlow(core: Core, now: number, conn: number): void {
  onLost(core, now, conn, { kind: "silence", afterMs: OPEN_WITHIN_MS });
}

function onLost(core: Core, now: number, conn: number, cause: Cause): void {
  if (core.conn !== conn) return;
  const { phase } = core;
  core.dropSocket();
  core.cause = cause;
  switch (phase.name) {
    case "connecting":
    case "joining":
    case "live": {
      let wait = core.reopen.fail();
      // Who had a socket lost it together with everybody else who had one, if it was the hub that went.
      if (phase.name !== "connecting") {
        wait = core.reopen.spread(Math.max(wait, core.guide.retryAfterMs), LOST_SPREAD_MS);
        // It waits so long that one failure after it is enough.
        core.reopen.fail();
      }
      // Waiting for a second silence, or asking a proxy twice, is time without data; another failure may be a restart.
      const enough = cause.kind === "refused" || cause.kind === "silence" || core.reopen.failures >= FAILURES;
      if (enough && core.guide.choice === "auto") {
        core.reopen.reset();
        core.poll(now, now + core.probe.fail());
      } else {
        core.phase = { name: "waiting", until: now + wait };
      }
      return;
    }
    case "probing":
    case "proving":
      core.poll(now, now + core.probe.fail());
      return;
    // Without a socket there is none to lose.
    case "idle":
    case "waiting":
    case "asking":
    case "polling":
    case "inquiring":
    case "closed":
      return;
    default:
      phase satisfies never;
  }
}

/** The answer to `subscribe`. */
export function onSubscribed(core: Core, now: number, conn: number, reply: SubscribeReply): void {
  const question = core.link(conn)?.answered("subscribe", now, core.pingEveryMs);
  if (!question) return;
  if (!("error" in reply)) {
    onAcknowledged(core, question, reply);
    return;
  }
  const { code, message, retryable } = reply.error;
  const cause: Cause = { kind: "rejected", code, message };
  if (code === "invalid_cursor") {
    // Cursors are the hub's own words; without them it gives a snapshot.
    core.pipelines.wantSnapshot(null);
    onLost(core, now, conn, cause);
  } else if (question.all && !retryable) {
    // One authoriser speaks for all transports: polling would be told the same.
    core.close(cause);
  } else if (!retryable && question.asked.size > 1) {
    core.link()?.askSingly(question.asked.keys());
  } else if (!retryable) {
    for (const id of question.asked.keys()) endPipeline(core, id, code);
  } else {
    onLost(core, now, conn, cause);
  }
}

function onAcknowledged(core: Core, { all, asked }: Extract<Question, { kind: "subscribe" }>, ack: SubscribeAck): void {
  for (const id of asked.keys()) core.pipelines.answered(id);
  for (const { pipeline_id: id, reason } of ack.pipelines) {
    if (reason === "unknown_pipeline") core.emit(core.pipelines.unknown(id, asked.get(id) ?? null));
  }
  const link = core.link();
  if (all && link) link.subscribed = true;
  promote(core);
}

/** The answer to a ping. */
export function onPong(core: Core, now: number, conn: number): void {
  if (core.link(conn)?.answered("ping", now, core.pingEveryMs)) promote(core);
}

/** Goes live, or more surely so, as far as the socket has shown that it works. */
function promote(core: Core): void {
  const { phase } = core;
  if (phase.name === "joining" && phase.link.subscribed) {
    core.cause = null;
    core.phase = { name: "live", link: phase.link };
  } else if (phase.name === "proving" && phase.link.subscribed && phase.link.proven) {
    core.cause = null;
    core.phase = { name: "live", link: phase.link };
    core.stopPolls();
  }
  if (core.phase.name === "live" && core.phase.link.proven) {
    core.reopen.reset();
    core.probe.reset();
  }
}

/** A message came. */
export function onMessage(core: Core, now: number, conn: number, message: Message): void {
  const link = core.link(conn);
  if (!link) return;
  link.heard(now);
  if (isMessage(message, "hub:closing")) {
    onHubClosing(core, now, message.data.retry_after_ms);
  } else if (isMessage(message, "subscription:ended")) {
    const { pipeline_id: id, code } = message.data;
    if (isRetryable(code)) resync(core, id, now + REST_MS);
    else endPipeline(core, id, code);
  } else {
    const { update, resync: missing } = core.pipelines.receive(message);
    core.emit(update);
    if (missing) resync(core, missing.pipeline, missing.inVain ? now + REST_MS : now);
  }
}

function onHubClosing(core: Core, now: number, retryAfterMs: number): void {
  const { phase } = core;
  const until = now + core.reopen.spread(Math.max(Math.min(retryAfterMs, LONGEST_ASKED_MS), core.guide.retryAfterMs));
  core.dropSocket();
  core.cause = { kind: "hub_closing", retryAfterMs };
  core.notBefore = until;
  core.phase = phase.name === "proving" ? { name: "polling", probeAt: until } : { name: "waiting", until };
}

/** Something came that is no message; of this pipeline, if that could be told. */
export function onBadMessage(core: Core, now: number, conn: number, pipeline: string | null): void {
  const link = core.link(conn);
  if (!link) return;
  link.heard(now);
  core.pipelines.wantSnapshot(pipeline);
  // The snapshot may be what cannot be read: never without a rest.
  if (pipeline !== null) resync(core, pipeline, now + REST_MS);
  else onLost(core, now, conn, { kind: "failed", message: "the hub sent what is no message" });
}

/** Asks again for a pipeline that is followed. */
function resync(core: Core, pipeline: string, at: number): void {
  if (core.pipelines.has(pipeline)) core.link()?.resync(pipeline, at);
}

/** Asks the next question, or finds that the socket is dead. */
export function converse(core: Core, now: number): void {
  const link = core.link();
  if (!link) return;
  if (link.deadAt !== null && link.deadAt <= now) {
    onLost(core, now, link.conn, { kind: "silence", afterMs: SILENCE_MS });
    return;
  }
  if (core.pipelines.isEmpty && !link.subscribed) {
    link.skipSubscription();
    promote(core);
  }
  const next = link.next(now);
  if (next?.kind === "ping") {
    link.ask(next, now);
    core.push({ type: "ping", conn: link.conn });
  } else if (next) {
    const { asked, request } = core.pipelines.subscribeTo(next.all ? null : next.pipelines);
    link.ask({ kind: "subscribe", all: next.all, asked }, now);
    core.push({ type: "subscribe", conn: link.conn, request });
  }
}
