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
// | start | begin; in `closed` begin anew, if it was the hub that closed it | – | – | – | – | – | – | – | – | – |
// | advised | – | – | go on by it | – | – | – | – | go on by it | – | – |
// | not_advised | – | – | go on | – | – | – | – | go on | – | – |
// | socket_opened | – | – | – | joining | – | – | – | – | proving | – |
// | socket_refused | – | – | – | polling, or close | same | same | – | – | same | same |
// | socket_lost | – | – | – | wait or poll | wait or poll | wait or poll | – | – | polling | polling |
// | subscribed, good | – | – | – | – | live | resync over | – | – | – | live if ponged |
// | subscribed, bad | – | – | – | – | final: end what was refused, one by one; else as lost | same | – | – | – | same |
// | pong | – | – | – | – | – | proven | – | – | – | live if subscribed |
// | message | – | – | – | – | fold | fold | – | – | – | fold |
// | renewed | – | – | – | – | ask for what had ended, and for the scope | same | – | – | – | same |
// | bad_message | – | – | – | – | ask for a snapshot, or as lost | same | – | – | – | same |
// | poll_answered | – | – | – | – | – | – | fold, poll on | same | same | same |
// | poll_failed | – | – | – | – | – | – | rest, or close | same | same | same |
// | caught_up | – | – | – | – | silence counts anew | same | – | – | – | same |
// | listed | – | – | – | – | – | – | poll what is new | same | same | same |
// | follow | to be subscribed to | same | same | same | subscribe | same | poll | same | same | both |
// | unfollow | forget | same | same | same | forget, unsubscribe | same | forget, stop its poll | same | same | both |
// | hidden | ping and poll less often, from now on, in every phase |||||||||||
// | visible | – | due now | – | – | silence counts anew, ping | same | polls due now | same | same | as live, and as polling |
// | hurry | as `online`, in every phase, and ask for what had ended |||||||||||
// | offline | – | – | – | – | ping | ping | – | – | – | ping |
// | online | – | due now | – | – | ping | ping | all due now | polls due now | same | ping, polls due now |
// | tick | – | ask or open when due | go on when due | silent when due | ping, or silent | same | poll; ask or probe when due | same; go on when due | same; fail when due | same as joining |
// | stop | close | close | close | close | close | close | close | close | close | close |
//
// This table is written once more, phase by phase, in test/machine-table.test.ts, which does not compile when a cell is
// missing. In `closed` everything is ignored, but for `start` and `stop` where it was the hub that said no. What is about
// another socket than the current one, or a poll or question that is not waited for, is ignored in every phase.
// `hub:closing` is a message that puts the socket off until the time it names, and nothing hurries that;
// `subscription:ended` is one that ends, or asks again for, one pipeline. With `unauthorized` it is about the token, and
// the socket is as lost: the next one shows the token as it is then.
//
// What it never does: have two sockets, two polls of one pipeline, or two open questions on one socket; poll when told to
// use sockets only, or open a socket when told to poll only; read a clock.
import type { PipelineId } from "./generated/index.js";
import { Core, type MachineOptions, type PhaseName } from "./machine/core.js";
import { ASK_WITHIN_MS } from "./machine/guide.js";
import type { Command, ConnectionStatus, Input, InputOf } from "./machine/io.js";
import { follow, onListed, onPolled, onPollFailed, startPolls, unfollow } from "./machine/poll.js";
import { onBroken, onOpened, onRefused, onSlow, onTold } from "./machine/socket.js";
import type { PipelineState } from "./state.js";

/** The machine. A driver gives it what happens, and does what it says, in order. */
export class Machine {
  readonly #core: Core;

  constructor(options: MachineOptions) {
    this.#core = new Core(options);
  }

  /** Where it stands. */
  get phase(): PhaseName {
    return this.#core.phase;
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
    // What the hub has refused may be tried anew, or ended for good.
    if (core.isClosed && (core.cause?.kind !== "rejected" || (input.type !== "start" && input.type !== "stop"))) return [];
    // The table has a rule for each input's own type, which TypeScript does not follow through a look-up.
    (RULES[input.type] as Rule<Input>)(core, now, input);
    proceed(core, now);
    core.tell();
    const { out } = core;
    core.out = [];
    return out;
  }

  /** When to say `tick` at the latest; null while there is nothing to wait for but answers. */
  get deadline(): number | null {
    const { step, isClosed, isPolling, polls, pipelines } = this.#core;
    if (isClosed) return null;
    const own = step.at === "talk" ? step.link.deadline : step.until;
    const due = Math.min(own, isPolling ? polls.deadline(pipelines.scope !== null) : Infinity);
    return due < Infinity ? due : null;
  }
}

type Rule<I extends Input> = (core: Core, now: number, input: I) => void;

const RULES: { readonly [T in Input["type"]]: Rule<InputOf<T>> } = {
  start,
  stop: (core) => core.close({ kind: "closed" }),
  tick() {},
  caught_up: (core, now) => core.link()?.caughtUp(now),
  hidden(core) {
    core.hidden = true;
  },
  visible(core, now) {
    core.hidden = false;
    core.link()?.caughtUp(now);
    hurry(core, now, core.polls.healthy !== true);
  },
  hurry(core, now) {
    again(core, now);
    hurry(core, now, true);
  },
  offline(core, now) {
    core.offline = true;
    core.link()?.doubt(now);
  },
  online(core, now) {
    core.offline = false;
    hurry(core, now, true);
  },
  follow,
  unfollow,
  listed: onListed,
  advised(core, now, { ask, advice }) {
    if (!isAsking(core, ask)) return;
    core.guide.take(advice);
    goOn(core, now);
  },
  not_advised(core, now, { ask }) {
    if (isAsking(core, ask)) goOn(core, now);
  },
  socket_opened: onOpened,
  socket_refused: onRefused,
  socket_lost: onBroken,
  subscribed: onTold,
  pong: onTold,
  message: onTold,
  renewed(core, now, told) {
    onTold(core, now, told);
    again(core, now);
  },
  bad_message: onTold,
  poll_answered: onPolled,
  poll_failed: onPollFailed,
};

function start(core: Core, now: number): void {
  core.isClosed = false;
  if (core.phase !== "idle") return;
  core.cause = null;
  // Told anew, as nobody listened while it was closed.
  core.hidden = core.offline = false;
  again(core, now);
  if (core.guide.choice === "polling") {
    core.cause = { kind: "chosen" };
    core.poll(now, Infinity);
  } else {
    core.pause(now);
  }
}

/** There may be another right: asks for what the hub had ended, too. */
function again(core: Core, now: number): void {
  const { isFixed } = core;
  follow(core, now, { type: "follow", pipelines: [...core.pipelines.ended] });
  core.isFixed = isFixed;
}

/** There may be a network again, or somebody who looks: what waits is due now, but for what the hub asked for. */
function hurry(core: Core, now: number, alsoProbe: boolean): void {
  const { step } = core;
  core.link()?.doubt(now);
  core.polls.hurry(now);
  // What waits for nothing is not begun, or shall never try.
  if (step.at === "rest" && step.until < Infinity && (alsoProbe || !core.isPolling)) {
    core.pause(Math.min(step.until, Math.max(now, core.notBefore)));
  }
}

/** What the passing of time and the last input make due. */
function proceed(core: Core, now: number): void {
  const { step } = core;
  if (step.at === "talk") step.rules.converse(core, now);
  else if (step.until <= now) {
    if (step.at === "rest") seek(core, now);
    else if (step.at === "ask") goOn(core, now);
    else onSlow(core, now, step.conn);
  }
  if (core.isPolling) startPolls(core, now);
}

/** A socket is due: asks the hub first, if that was not done lately. */
function seek(core: Core, now: number): void {
  if (!core.guide.isDue(now)) return goOn(core, now);
  const ask = core.guide.ask(now);
  core.push({ type: "ask_advice", ask });
  core.step = { at: "ask", ask, until: now + ASK_WITHIN_MS };
}

/** Whether this question for advice is open. */
const isAsking = ({ step }: Core, ask: number): boolean => step.at === "ask" && step.ask === ask;

/** Opens a socket, or polls, by what is known of the hub's wishes. */
function goOn(core: Core, now: number): void {
  const { choice } = core.guide;
  if (choice === "polling") {
    core.cause = { kind: "advised" };
    // To be asked again, which is what leads back to a socket.
    core.poll(now, Math.max(now + core.probe.fail(), core.guide.nextAt));
  } else {
    // Polls took over, or were advised; now the hub may want none.
    if (choice === "websocket") core.stopPolls();
    core.open(now);
  }
}
