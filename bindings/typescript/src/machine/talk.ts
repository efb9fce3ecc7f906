// The connection machine's rules for an open socket. They come with the part that opens sockets: who only polls needs
// neither.
//
// What may come in: what a socket tells, also one that was given up. What it never does: believe a socket that is not
// the current one; go live by a socket that has not answered for everything; import at run time what is
// loaded at once.
import type { SubscribeAck } from "../generated/index.js";
import type { Message, MessageOf, Payloads } from "../messages.js";
import { isRetryable } from "./codes.js";
import type { Core } from "./core.js";
import type { Cause, InputOf } from "./io.js";
import { Link, type Question, SILENCE_MS } from "./link.js";

/** How long a pipeline rests before it is asked for again in vain. */
const REST_MS = 1_000;
/** How often a quiet socket is tried, by whether somebody may be looking. */
const PING_EVERY_MS = { visible: 5_000, hidden: 15_000 } as const;

/** What comes of an open socket. */
export interface SocketRules {
  /** What is known of a socket that was just opened. */
  readonly link: (now: number) => Link;
  /** Asks the next question, or finds that the socket is dead. */
  readonly converse: (core: Core, now: number) => void;
  /** Takes what the socket told. */
  readonly take: (core: Core, now: number, told: Told) => void;
}

/** What an open socket tells. */
export type Told = InputOf<"subscribed" | "pong" | "message" | "renewed" | "bad_message">;

/** The rules. */
export const socketRules: SocketRules = { link: (now) => new Link(now), converse, take };

function take(core: Core, now: number, told: Told): void {
  switch (told.type) {
    case "subscribed":
      return onSubscribed(core, now, told);
    case "pong":
      return onPong(core, now);
    case "message":
      return onMessage(core, now, told);
    case "renewed":
      // Those that are followed by name were asked for again where they had ended.
      if (core.pipelines.scope) core.link()?.subscribeAnew();
      return;
    case "bad_message":
      return onBadMessage(core, now, told);
    default:
      return told satisfies never;
  }
}

const pingEveryMs = (core: Core): number => PING_EVERY_MS[core.hidden ? "hidden" : "visible"];
const isMessage = <K extends keyof Payloads>(message: Message, event: K): message is MessageOf<K> => message.event === event;

/** The answer to `subscribe`. */
function onSubscribed(core: Core, now: number, { conn, reply }: InputOf<"subscribed">): void {
  const question = core.link()?.answered("subscribe", now, pingEveryMs(core));
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
    core.lost(now, conn, cause);
  } else if (retryable) {
    core.lost(now, conn, cause);
  } else if (code !== "unauthorized" && !core.link()?.isSingly && isOfSeveral(core, question)) {
    // The others shall not suffer for one.
    const { all, asked } = question;
    core.link()?.askSingly(all ? core.pipelines.named : asked.keys(), all && core.pipelines.scope !== null);
  } else if (question.all && (code === "unauthorized" || core.pipelines.scope)) {
    // One authoriser speaks for all transports: polling would be told the same.
    core.close(cause);
  } else {
    for (const id of question.asked.keys()) core.end(id, code);
  }
}

type Subscription = Extract<Question, { kind: "subscribe" }>;

/** Whether more than one thing was asked for, one of which may have been refused. */
function isOfSeveral({ pipelines }: Core, { all, asked }: Subscription): boolean {
  return all ? pipelines.named.length + (pipelines.scope ? 1 : 0) > 1 : asked.size > 1;
}

function onAcknowledged(core: Core, { all, asked }: Subscription, ack: SubscribeAck): void {
  const answers = new Map(ack.pipelines.map(({ pipeline_id, reason }) => [pipeline_id, reason]));
  const { named } = core.pipelines;
  for (const [id, from] of asked) {
    core.pipelines.answered(id);
    // What is only in the scope, and not answered for, was forgotten while nobody listened.
    const isGone = answers.has(id) ? answers.get(id) === "unknown_pipeline" : all && !named.includes(id);
    if (isGone) core.emit(core.pipelines.unknown(id, from));
  }
  const link = core.link();
  if (all && link && !link.isSingly) link.subscribed = true;
  promote(core);
}

/** The answer to a ping. */
function onPong(core: Core, now: number): void {
  if (core.link()?.answered("ping", now, pingEveryMs(core))) promote(core);
}

/** Goes live, or more surely so, as far as the socket has shown that it works. */
function promote(core: Core): void {
  const link = core.link();
  if (!link?.subscribed || (core.isPolling && !link.proven)) return;
  core.cause = null;
  core.stopPolls();
  if (!link.proven) return;
  core.reopen.reset();
  core.probe.reset();
}

/** A message came. */
function onMessage(core: Core, now: number, { conn, message }: InputOf<"message">): void {
  const link = core.link();
  if (!link) return;
  link.heard(now);
  if (isMessage(message, "hub:closing")) {
    onHubClosing(core, now, message.data.retry_after_ms);
  } else if (isMessage(message, "subscription:ended")) {
    const { pipeline_id: id, code } = message.data;
    if (isRetryable(code)) resync(core, id, now + REST_MS);
    // Of the token, not of this pipeline. There may be a fresh one by now; if not, the hub says why at its door.
    else if (code === "unauthorized") core.lost(now, conn, { kind: "rejected", code, message: "The token has ended." });
    else core.end(id, code);
  } else {
    const { update, resync: missing } = core.pipelines.receive(message);
    core.emit(update);
    if (missing) resync(core, missing.pipeline, missing.inVain ? now + REST_MS : now);
  }
}

function onHubClosing(core: Core, now: number, retryAfterMs: number): void {
  const until = now + core.reopen.spread(core.guide.putOff(retryAfterMs));
  core.cause = { kind: "hub_closing", retryAfterMs };
  core.notBefore = until;
  core.pause(until);
}

/** Something came that is no message; of this pipeline, if that could be told. */
function onBadMessage(core: Core, now: number, { conn, pipeline }: InputOf<"bad_message">): void {
  const link = core.link();
  if (!link) return;
  link.heard(now);
  core.pipelines.wantSnapshot(pipeline);
  // The snapshot may be what cannot be read: never without a rest.
  if (pipeline !== null) resync(core, pipeline, now + REST_MS);
  else core.lost(now, conn, { kind: "failed", message: "the hub sent what is no message" });
}

/** Asks again for a pipeline that is followed. */
function resync(core: Core, pipeline: string, at: number): void {
  if (core.pipelines.has(pipeline)) core.link()?.resync(pipeline, at);
}

/** Asks the next question, or finds that the socket is dead. */
function converse(core: Core, now: number): void {
  const { step } = core;
  if (step.at !== "talk") return;
  const { conn, link } = step;
  if (link.deadAt !== null && link.deadAt <= now) {
    core.lost(now, conn, { kind: "silence", afterMs: SILENCE_MS });
    return;
  }
  // A question for nothing would be refused, and asked again at once.
  link.keep((id) => core.pipelines.has(id));
  const { isEmpty } = core.pipelines;
  if (isEmpty) link.skipSubscription();
  if (!link.subscribed && (isEmpty || link.isAnswered)) {
    link.subscribed = true;
    promote(core);
  }
  const next = link.next(now);
  if (next?.kind === "ping") {
    link.ask(next, now);
    core.push({ type: "ping", conn });
  } else if (next) {
    const { asked, request } = core.pipelines.subscribeTo(next.all ? null : next.pipelines, link.isSingly);
    link.ask({ kind: "subscribe", all: next.all, asked }, now);
    core.push({ type: "subscribe", conn, request });
  }
}
