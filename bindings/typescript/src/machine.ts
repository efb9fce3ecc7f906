// How a client connects, resumes, falls back and returns: a state machine without I/O, with time passed in.
//
// | phase | socket | polls | leaves to |
// |---|---|---|---|
// | idle | – | – | by start |
// | waiting | to be opened at a time | – | asking, or connecting if the hub was asked lately, at that time |
// | asking | the hub is asked for its advice | – | connecting, or polling if that is the advice |
// | connecting | being opened | – | joining; waiting; polling after three failures (a loss is two), a refusal or silence |
// | joining | open, subscription not acknowledged | – | live; else as connecting |
// | live | open and subscribed | – | waiting when it breaks; polling when it goes silent |
// | polling | to be tried at a time, or never | on | inquiring, or probing if the hub was asked lately, at that time |
// | inquiring | the hub is asked for its advice | on | probing; polling or connecting if that is the advice |
// | probing | being opened | on | proving; polling when it fails |
// | proving | open, not yet both subscribed and pinged | on | live when it is; polling when it fails |
// | closed | – | – | never |
//
// | input | idle | waiting | asking | connecting | joining | live | polling | inquiring | probing | proving |
// |---|---|---|---|---|---|---|---|---|---|---|
// | start | begin | – | – | – | – | – | – | – | – | – |
// | advised | – | – | go on by it | – | – | – | – | go on by it | – | – |
// | not_advised | – | – | go on | – | – | – | – | go on | – | – |
// | socket_opened | – | – | – | joining | – | – | – | – | proving | – |
// | socket_refused | – | – | – | polling, or close | same | same | – | – | same | same |
// | socket_lost | – | – | – | wait or poll | wait or poll | wait or poll | – | – | polling | polling |
// | subscribed, good | – | – | – | – | live | resync over | – | – | – | live if ponged |
// | subscribed, bad | – | – | – | – | close if final, else as lost | as lost | – | – | – | as joining |
// | pong | – | – | – | – | – | proven | – | – | – | live if subscribed |
// | message | – | – | – | – | fold | fold | – | – | – | fold |
// | bad_message | – | – | – | – | ask for a snapshot, or as lost | same | – | – | – | same |
// | poll_answered | – | – | – | – | – | – | fold, poll on | same | same | same |
// | poll_failed | – | – | – | – | – | – | rest, or close | same | same | same |
// | caught_up | – | – | – | – | silence counts anew | same | – | – | – | same |
// | listed | – | – | – | – | – | – | poll what is new | same | same | same |
// | follow | to be subscribed to | same | same | same | subscribe | same | poll | same | same | both |
// | unfollow | forget | same | same | same | forget, unsubscribe | same | forget, stop its poll | same | same | both |
// | hidden | ping and poll less often, from now on, in every phase |||||||||||
// | visible | – | due now | – | – | silence counts anew, ping | same | polls due now | same | same | as live, and as polling |
// | hurry | as `online`, in every phase |||||||||||
// | offline | – | – | – | – | ping | ping | – | – | – | ping |
// | online | – | due now | – | – | ping | ping | all due now | polls due now | same | ping, polls due now |
// | tick | – | ask or open when due | go on when due | silent when due | ping, or silent | same | poll; ask or probe when due | same; go on when due | same; fail when due | same as joining |
// | stop | close | close | close | close | close | close | close | close | close | close |
//
// This table is written once more, phase by phase, in test/machine-table.test.ts, which does not compile when a cell is
// missing. In `closed` everything is ignored. What is about another socket than the current one, or a poll or question
// that is not waited for, is ignored in every phase. `hub:closing` is a message that puts the socket off until the time
// it names, and nothing hurries that; `subscription:ended` is one that ends, or asks again for, one pipeline.
//
// What it never does: have two sockets, two polls of one pipeline, or two open questions on one socket; poll when told to
// use sockets only, or open a socket when told to poll only; read a clock.
import type { PipelineId } from "./generated/index.js";
import { Core, type MachineOptions, OPEN_WITHIN_MS, type PhaseName } from "./machine/core.js";
import { ASK_WITHIN_MS } from "./machine/guide.js";
import type { Command, ConnectionStatus, Input } from "./machine/io.js";
import { follow, onListed, onPolled, onPollFailed, startPolls, unfollow } from "./machine/poll.js";
import { converse, onBadMessage, onBroken, onMessage, onOpened, onPong, onRefused, onSlow, onSubscribed } from "./machine/socket.js";
import type { PipelineState } from "./state.js";

export type { MachineOptions, PhaseName } from "./machine/core.js";
export { partOf } from "./machine/guide.js";
export type { Advice, Cause, Command, ConnectionStatus, Input, Listed, TransportChoice, Update } from "./machine/io.js";
export type { Scope } from "./machine/pipelines.js";
export type { Intervals } from "./machine/polls.js";

/** The machine. A driver gives it what happens, and does what it says, in order. */
export class Machine {
  readonly #core: Core;

  constructor(options: MachineOptions) {
    this.#core = new Core(options);
  }

  /** Where it stands. */
  get phase(): PhaseName {
    return this.#core.phase.name;
  }

  /** By what updates come. */
  get status(): ConnectionStatus {
    return this.#core.told;
  }

  /** The state of a pipeline, or null. It is changed by what comes next. */
  state(pipeline: PipelineId): PipelineState | null {
    return this.#core.pipelines.state(pipeline);
  }

  /** The pipelines that are followed, known or not. */
  get pipelines(): PipelineId[] {
    return this.#core.pipelines.ids;
  }

  /** Takes what happened and tells what to do. */
  handle(now: number, input: Input): Command[] {
    const core = this.#core;
    if (core.phase.name === "closed") return [];
    take(core, now, input);
    proceed(core, now);
    core.tell();
    const { out } = core;
    core.out = [];
    return out;
  }

  /** When to say `tick` at the latest; null while there is nothing to wait for but answers. */
  get deadline(): number | null {
    const { phase, polls, pipelines } = this.#core;
    const isListing = pipelines.scope !== null;
    switch (phase.name) {
      case "idle":
      case "closed":
        return null;
      case "waiting":
      case "asking":
      case "connecting":
        return phase.until;
      case "joining":
      case "live":
        return phase.link.deadline;
      case "polling":
        return earliest(phase.probeAt, polls.deadline(isListing));
      case "inquiring":
      case "probing":
        return earliest(phase.until, polls.deadline(isListing));
      case "proving":
        return earliest(phase.link.deadline, polls.deadline(isListing));
      default:
        return phase satisfies never;
    }
  }
}

function take(core: Core, now: number, input: Input): void {
  switch (input.type) {
    case "start":
      return start(core, now);
    case "stop":
      return core.close({ kind: "closed" });
    case "tick":
      return;
    case "caught_up":
      return core.link()?.caughtUp(now);
    case "hidden":
      core.hidden = true;
      return;
    case "visible":
      core.hidden = false;
      core.link()?.caughtUp(now);
      return hurry(core, now, core.polls.healthy !== true);
    case "hurry":
      return hurry(core, now, true);
    case "follow":
      return follow(core, now, input.pipelines);
    case "unfollow":
      return unfollow(core, input.pipelines);
    case "listed":
      return onListed(core, now, input);
    case "offline":
      core.offline = true;
      return core.link()?.doubt(now);
    case "online":
      core.offline = false;
      return hurry(core, now, true);
    case "advised":
      if (!isAsking(core, input.ask)) return;
      core.guide.take(input.advice);
      return goOn(core, now);
    case "not_advised":
      return isAsking(core, input.ask) ? goOn(core, now) : undefined;
    case "socket_opened":
      return onOpened(core, now, input.conn);
    case "socket_refused":
      return onRefused(core, now, input.conn, input.code, input.message);
    case "socket_lost":
      return onBroken(core, now, input.conn, input.message);
    case "subscribed":
      return onSubscribed(core, now, input.conn, input.reply);
    case "pong":
      return onPong(core, now, input.conn);
    case "message":
      return onMessage(core, now, input.conn, input.message);
    case "bad_message":
      return onBadMessage(core, now, input.conn, input.pipeline);
    case "poll_answered":
      return onPolled(core, now, input);
    case "poll_failed":
      return onPollFailed(core, now, input);
    default:
      return input satisfies never;
  }
}

function start(core: Core, now: number): void {
  if (core.phase.name !== "idle") return;
  if (core.guide.choice === "polling") {
    core.cause = { kind: "chosen" };
    core.poll(now, null);
  } else {
    core.phase = { name: "waiting", until: now };
  }
}

/** There may be a network again, or somebody who looks: what waits is due now, but for what the hub asked for. */
function hurry(core: Core, now: number, alsoProbe: boolean): void {
  const { phase } = core;
  const at = Math.max(now, core.notBefore);
  core.link()?.doubt(now);
  core.polls.hurry(now);
  if (phase.name === "waiting") core.phase = { name: "waiting", until: Math.min(phase.until, at) };
  if (phase.name === "polling" && phase.probeAt !== null && alsoProbe) {
    core.phase = { name: "polling", probeAt: Math.min(phase.probeAt, at) };
  }
}

/** What the passing of time and the last input make due. */
function proceed(core: Core, now: number): void {
  const { phase } = core;
  switch (phase.name) {
    case "idle":
    case "closed":
      return;
    case "waiting":
      if (phase.until <= now) seek(core, now);
      break;
    case "asking":
    case "inquiring":
      if (phase.until <= now) goOn(core, now);
      break;
    case "connecting":
    case "probing":
      if (phase.until <= now) onSlow(core, now, phase.conn);
      break;
    case "joining":
    case "live":
    case "proving":
      converse(core, now);
      break;
    case "polling":
      if (phase.probeAt !== null && phase.probeAt <= now) seek(core, now);
      break;
    default:
      phase satisfies never;
  }
  if (core.isPolling) startPolls(core, now);
}

/** A socket is due: asks the hub first, if that was not done lately. */
function seek(core: Core, now: number): void {
  if (!core.guide.isDue(now)) return goOn(core, now);
  const ask = core.guide.ask(now);
  core.push({ type: "ask_advice", ask });
  core.phase = { name: core.isPolling ? "inquiring" : "asking", ask, until: now + ASK_WITHIN_MS };
}

/** Whether this question for advice is open. */
function isAsking({ phase }: Core, ask: number): boolean {
  return (phase.name === "asking" || phase.name === "inquiring") && phase.ask === ask;
}

/** Opens a socket, or polls, by what is known of the hub's wishes. */
function goOn(core: Core, now: number): void {
  const { choice } = core.guide;
  const until = now + OPEN_WITHIN_MS;
  if (choice === "polling") {
    core.cause = { kind: "advised" };
    // To be asked again, which is what leads back to a socket.
    core.poll(now, Math.max(now + core.probe.fail(), core.guide.nextAt ?? 0));
  } else if (choice === "auto" && core.isPolling) {
    core.phase = { name: "probing", conn: core.open(), until };
  } else {
    // Polls took over, or were advised; now the hub wants none.
    if (core.isPolling) core.stopPolls();
    core.phase = { name: "connecting", conn: core.open(), until };
  }
}

function earliest(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.min(a, b);
}
