// The machine's table, written once more as the phase that each input leads to. A phase, an input or a kind of one that
// has no cell here does not compile.
import { expect, test } from "vitest";

import { Machine, socketRules } from "../src/machine/index.js";
import type { PhaseName } from "../src/machine/core.js";
import type { Code } from "../src/generated/index.js";
import type { Input, TransportChoice } from "../src/machine/io.js";
import type { Message } from "../src/messages.js";

/** The kinds of inputs that the table tells apart, in the order of its columns. */
const KINDS = [
  "start",
  "advisedAuto", "advisedPolling", "advisedWebsocket", "notAdvised",
  "opened",
  "refusedByNoHub", "refusedForNow", "refusedForGood",
  "lost",
  "subscribedGood", "subscribedBadForNow", "subscribedBadForGood",
  "pong",
  "messageOfAPipeline", "messageClosing", "messageEndedForGood", "messageTokenEnded",
  "renewed",
  "badOfAPipeline", "badOfNobody",
  "pollAnswered", "pollFailed", "pollFailedForGood",
  "caughtUp", "hidden", "visible", "offline", "online", "hurry",
  "follow", "unfollow", "listed",
  "tickEarly", "tickDue",
  "stop",
] as const;
type Kind = (typeof KINDS)[number];
type Cells<T extends readonly unknown[]> = { readonly [I in keyof T]: PhaseName };
type Row = Cells<typeof KINDS>;

/** The kinds of each input; an input without one does not compile. */
const KINDS_OF: { readonly [T in Input["type"]]: readonly [Kind, ...Kind[]] } = {
  start: ["start"],
  stop: ["stop"],
  tick: ["tickEarly", "tickDue"],
  caught_up: ["caughtUp"],
  hidden: ["hidden"],
  visible: ["visible"],
  offline: ["offline"],
  online: ["online"],
  hurry: ["hurry"],
  follow: ["follow"],
  unfollow: ["unfollow"],
  listed: ["listed"],
  advised: ["advisedAuto", "advisedPolling", "advisedWebsocket"],
  not_advised: ["notAdvised"],
  socket_opened: ["opened"],
  socket_refused: ["refusedByNoHub", "refusedForNow", "refusedForGood"],
  socket_lost: ["lost"],
  subscribed: ["subscribedGood", "subscribedBadForNow", "subscribedBadForGood"],
  pong: ["pong"],
  message: ["messageOfAPipeline", "messageClosing", "messageEndedForGood", "messageTokenEnded"],
  renewed: ["renewed"],
  bad_message: ["badOfAPipeline", "badOfNobody"],
  poll_answered: ["pollAnswered"],
  poll_failed: ["pollFailed", "pollFailedForGood"],
};

const [I, W, Q, C, J, L] = ["idle", "waiting", "asking", "connecting", "joining", "live"] as const;
const [P, N, B, V, X] = ["polling", "inquiring", "probing", "proving", "closed"] as const;

// Groups: start; advised; opened; refused; lost; subscribed; pong; message; renewed; bad; poll; caught up, hidden, visible,
// offline, online, hurry; follow, unfollow, listed; tick; stop.
const TABLE: Readonly<Record<PhaseName, Row>> = {
  idle:       [Q,  I, I, I, I,  I,  I, I, I,  I,  I, I, I,  I,  I, I, I, I,  I,  I, I,  I, I, I,  I, I, I, I, I, I,  I, I, I,  I, I,  X],
  waiting:    [W,  W, W, W, W,  W,  W, W, W,  W,  W, W, W,  W,  W, W, W, W,  W,  W, W,  W, W, W,  W, W, C, W, C, C,  W, W, W,  W, C,  X],
  asking:     [Q,  C, P, C, C,  Q,  Q, Q, Q,  Q,  Q, Q, Q,  Q,  Q, Q, Q, Q,  Q,  Q, Q,  Q, Q, Q,  Q, Q, Q, Q, Q, Q,  Q, Q, Q,  Q, C,  X],
  connecting: [C,  C, C, C, C,  J,  P, W, X,  W,  C, C, C,  C,  C, C, C, C,  C,  C, C,  C, C, C,  C, C, C, C, C, C,  C, C, C,  C, P,  X],
  joining:    [J,  J, J, J, J,  J,  P, W, X,  W,  L, W, X,  J,  J, W, X, W,  J,  J, W,  J, J, J,  J, J, J, J, J, J,  J, L, J,  J, P,  X],
  // Unfollowed, in joining: where nothing is left to subscribe to, there is nothing to wait for. Subscribed, in live: to one
  // pipeline again. What is refused for good then has ended, here together with the last pipeline.
  live:       [L,  L, L, L, L,  L,  P, W, X,  W,  L, W, X,  L,  L, W, X, W,  L,  L, W,  L, L, L,  L, L, L, L, L, L,  L, L, L,  L, P,  X],
  polling:    [P,  P, P, P, P,  P,  P, P, P,  P,  P, P, P,  P,  P, P, P, P,  P,  P, P,  P, P, X,  P, P, B, P, B, B,  P, P, P,  P, B,  X],
  inquiring:  [N,  B, P, C, B,  N,  N, N, N,  N,  N, N, N,  N,  N, N, N, N,  N,  N, N,  N, N, X,  N, N, N, N, N, N,  N, N, N,  N, B,  X],
  probing:    [B,  B, B, B, B,  V,  P, P, X,  P,  B, B, B,  B,  B, B, B, B,  B,  B, B,  B, B, X,  B, B, B, B, B, B,  B, B, B,  B, P,  X],
  // Subscribed, or pong: it takes both, in a test of its own.
  proving:    [V,  V, V, V, V,  V,  P, P, X,  P,  V, P, X,  V,  V, P, X, P,  V,  V, P,  V, V, X,  V, V, V, V, V, V,  V, V, V,  V, P,  X],
  closed:     [X,  X, X, X, X,  X,  X, X, X,  X,  X, X, X,  X,  X, X, X, X,  X,  X, X,  X, X, X,  X, X, X, X, X, X,  X, X, X,  X, X,  X],
};
const PHASES = Object.keys(TABLE) as PhaseName[];

const at = "2026-01-01T00:00:00.000Z";
const event = (seq: number): Message => ({
  event: "x:step",
  data: { pipeline_id: "p", pipeline_type: "t", epoch: "e", seq, timestamp: at, received_at: at },
});

/** A machine in a phase, with what it waits for. */
class Setup {
  readonly machine: Machine;
  now = 0;
  ask = 0;
  poll = 0;
  conn = 0;

  constructor(transport: TransportChoice = "auto") {
    this.machine = new Machine({ pipelines: ["p"], transport, part: 50, chance: () => 0.5, userAgent: "test" });
  }

  give(input: Input): void {
    for (const command of this.machine.handle(this.now, input)) {
      if (command.type === "ask_advice") this.ask = command.ask;
      if (command.type === "poll") this.poll = command.poll;
      if (command.type === "open_socket") this.conn = command.conn;
    }
  }

  then(kind: Kind): this {
    const { phase } = this.machine;
    this.give(this.input(kind));
    // What is due first may be a ping or a poll, which changes no phase: what it leads to is what the table is about.
    for (let due = 0; kind === "tickDue" && due < 5 && this.machine.phase === phase; due += 1) {
      this.now = Math.max(this.now, this.machine.deadline ?? 0);
      this.give({ type: "tick" });
    }
    return this;
  }

  input(kind: Kind): Input {
    const { conn, ask, poll } = this;
    const advised = (transport: TransportChoice): Input => ({
      type: "advised", ask, advice: { transport, rolloutPercentage: 100, retryAfterMs: 1_000 },
    });
    const refused = (code: Code | null): Input => ({ type: "socket_refused", conn, code, message: "no", retryable: code !== "unauthorized" });
    const bad = (code: Code, retryable: boolean): Input => ({ type: "subscribed", conn, reply: { error: { code, message: "no", retryable } } });
    const message = (name: string, data: object): Input => ({ type: "message", conn, message: { event: name, data } });
    const failed = (code: Code): Input => ({ type: "poll_failed", poll, pipeline: "p", code, message: "no", retryAfterMs: null });
    switch (kind) {
      case "start": return { type: "start" };
      case "advisedAuto": return advised("auto");
      case "advisedPolling": return advised("polling");
      case "advisedWebsocket": return advised("websocket");
      case "notAdvised": return { type: "not_advised", ask };
      case "opened": return { type: "socket_opened", conn, rules: socketRules };
      case "refusedByNoHub": return refused(null);
      case "refusedForNow": return refused("closing");
      case "refusedForGood": return refused("unauthorized");
      case "lost": return { type: "socket_lost", conn, message: "gone" };
      case "subscribedGood": return { type: "subscribed", conn, reply: { pipelines: [{ pipeline_id: "p", recovered: true, replayed: 0 }] } };
      case "subscribedBadForNow": return bad("overloaded", true);
      case "subscribedBadForGood": return bad("forbidden", false);
      case "pong": return { type: "pong", conn };
      case "messageOfAPipeline": return { type: "message", conn, message: event(1) };
      case "messageClosing": return message("hub:closing", { retry_after_ms: 1_000 });
      case "messageEndedForGood": return message("subscription:ended", { pipeline_id: "p", code: "forbidden" });
      case "messageTokenEnded": return message("subscription:ended", { pipeline_id: "p", code: "unauthorized" });
      case "renewed": return { type: "renewed", conn };
      case "badOfAPipeline": return { type: "bad_message", conn, pipeline: "p" };
      case "badOfNobody": return { type: "bad_message", conn, pipeline: null };
      case "pollAnswered": return { type: "poll_answered", poll, pipeline: "p", messages: [event(1)], bad: false, unknown: false };
      case "pollFailed": return failed("overloaded");
      case "pollFailedForGood": return failed("unauthorized");
      case "caughtUp": return { type: "caught_up" };
      case "hidden": return { type: "hidden" };
      case "visible": return { type: "visible" };
      case "offline": return { type: "offline" };
      case "online": return { type: "online" };
      case "hurry": return { type: "hurry" };
      case "follow": return { type: "follow", pipelines: ["q"] };
      case "unfollow": return { type: "unfollow", pipelines: ["p"] };
      case "listed": return { type: "listed", list: 1, pipelines: [{ pipeline_id: "q", pipeline_type: "t" }], code: null, message: "" };
      case "tickEarly": return { type: "tick" };
      case "tickDue": return { type: "tick" };
      case "stop": return { type: "stop" };
      default: return kind satisfies never;
    }
  }
}

/** Leads a machine into a phase by what happens on the way there. */
function reach(phase: PhaseName): Setup {
  switch (phase) {
    case "idle": return new Setup();
    case "asking": return reach("idle").then("start");
    case "connecting": return reach("asking").then("notAdvised");
    case "waiting": return reach("connecting").then("lost");
    case "joining": return reach("connecting").then("opened");
    case "live": {
      // With a question for the pipeline open, which was asked again for after a hole.
      const live = reach("joining").then("subscribedGood").then("pong");
      live.give({ type: "message", conn: live.conn, message: event(2) });
      return live;
    }
    case "polling": return reach("connecting").then("refusedByNoHub");
    case "inquiring": {
      const polling = reach("polling");
      polling.now += 120_000;
      return polling.then("tickEarly");
    }
    case "probing": return reach("inquiring").then("advisedAuto");
    case "proving": return reach("probing").then("opened");
    case "closed": return reach("live").then("stop");
    default: return phase satisfies never;
  }
}

const kinds = Object.values(KINDS_OF).flat();

test("every kind is an input's, once", () => expect([...kinds].sort()).toEqual([...KINDS].sort()));

for (const phase of PHASES) {
  test(`every input in ${phase} leads where the table says`, () => {
    for (const [column, kind] of KINDS.entries()) {
      const setup = reach(phase);
      expect(setup.machine.phase).toBe(phase);
      setup.then(kind);
      const led = setup.machine.phase;
      expect(led, kind).toBe(TABLE[phase][column]);
      const polls: readonly PhaseName[] = [P, N, B, V];
      expect(setup.machine.deadline !== null || polls.includes(led), `${kind}: it waits for something`).toBe(led !== I && led !== X);
    }
  });

  test(`what is about another socket, poll or question changes nothing in ${phase}`, () => {
    for (const kind of KINDS) {
      const setup = reach(phase);
      const input = setup.input(kind);
      const stale: Input | null =
        "conn" in input ? { ...input, conn: 1_000 } : "poll" in input ? { ...input, poll: 1_000 } : "ask" in input ? { ...input, ask: 1_000 } : null;
      if (!stale) continue;
      expect(setup.machine.handle(setup.now, stale), kind).toEqual([]);
      expect(setup.machine.phase, kind).toBe(phase);
    }
  });
}

test("proving takes both the subscription and the pong, and a long wait asks the hub first", () => {
  expect(reach("proving").then("subscribedGood").then("pong").machine.phase).toBe(L);
  const waiting = reach("waiting");
  waiting.now += 60_000;
  expect(waiting.then("tickEarly").machine.phase).toBe(Q);
});

test("the caller's choice is kept to", () => {
  const polling = new Setup("polling").then("start");
  expect([polling.machine.phase, polling.conn]).toEqual([P, 0]);
  expect(polling.then("online").machine.phase).toBe(P);
  const socket = new Setup("websocket").then("start").then("advisedPolling");
  for (let tries = 0; tries < 10; tries += 1) {
    expect(socket.machine.phase).toBe(C);
    expect(socket.then("refusedByNoHub").machine.phase).toBe(W);
    socket.then("tickDue");
    if (socket.machine.phase === Q) socket.then("notAdvised");
  }
  expect(socket.poll).toBe(0);
});

test("each status tells its cause", () => {
  const cause = (setup: Setup) => [setup.machine.status.state, setup.machine.status.cause?.kind ?? null];
  expect(cause(reach("connecting"))).toEqual(["connecting", null]);
  expect(cause(reach("live"))).toEqual(["websocket", null]);
  expect(cause(reach("live").then("lost"))).toEqual(["waiting", "failed"]);
  expect(cause(reach("live").then("offline").then("lost"))).toEqual(["waiting", "offline"]);
  expect(cause(reach("live").then("messageClosing"))).toEqual(["waiting", "hub_closing"]);
  expect(cause(reach("live").then("tickDue").then("pollAnswered"))).toEqual(["polling", "silence"]);
  expect(cause(reach("polling"))).toEqual(["connecting", "refused"]);
  expect(cause(reach("polling").then("pollFailed"))).toEqual(["waiting", "rejected"]);
  expect(cause(reach("polling").then("pollAnswered"))).toEqual(["polling", "refused"]);
  expect(cause(reach("asking").then("advisedPolling").then("pollAnswered"))).toEqual(["polling", "advised"]);
  expect(cause(new Setup("polling").then("start").then("pollAnswered"))).toEqual(["polling", "chosen"]);
  expect(cause(reach("connecting").then("refusedForGood"))).toEqual(["closed", "rejected"]);
  expect(cause(reach("live").then("stop"))).toEqual(["closed", "closed"]);
});

test("nothing hurries what the hub asked for", () => {
  const setup = reach("live").then("messageClosing");
  expect(setup.machine.deadline).toBeGreaterThanOrEqual(1_000);
  expect(setup.then("visible").then("online").machine.phase).toBe(W);
});

test("a hidden page pings less often", () => {
  const gap = (hidden: boolean): number => {
    const setup = reach("joining").then("subscribedGood");
    if (hidden) setup.then("hidden");
    return (setup.then("pong").machine.deadline ?? 0) - setup.now;
  };
  expect([gap(false), gap(true)]).toEqual([5_000, 15_000]);
});
