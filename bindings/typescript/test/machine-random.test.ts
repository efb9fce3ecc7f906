// The machine in a world of chance, with a seed: whatever happens, what it never does does not happen, and when the world
// is well again every event has come once, in order.
import { expect, test } from "vitest";

import type { Cursor, PipelineStatus, SubscribeRequest } from "../src/generated/index.js";
import { Machine, socketRules } from "../src/machine/index.js";
import { MAX_POLLS } from "../src/machine/polls.js";
import type { Command, Input, TransportChoice } from "../src/machine/io.js";
import type { Message } from "../src/messages.js";
import { chance, pick } from "./random.js";

const at = "2026-01-01T00:00:00.000Z";
const PIPELINES = ["a", "b", "c", "d", "e", "f"];

/** A hub that keeps the last events of each pipeline, and a network that loses, delays and breaks. */
class World {
  now = 0;
  fails = 0.3;
  readonly machine: Machine;
  readonly random: () => number;
  readonly problems: string[] = [];
  readonly heads = new Map<string, Cursor>(PIPELINES.map((id) => [id, { epoch: "e0", seq: 3 }]));
  /** Where the subscriber is, by what it was told. */
  readonly told = new Map<string, number>();
  readonly #queue: { at: number; input: Input }[] = [];
  #conn: number | null = null;
  #following = new Set<string>();
  #questions = 0;
  readonly #polls = new Map<string, number>();
  #epochs = 0;
  #lastConn = 0;

  /** Whether the subscriber asked for all there are. */
  readonly isAll: boolean;
  /** What it asked for by name. */
  readonly named: Set<string>;
  #isSubscribedToAll = false;

  constructor(seed: number, readonly transport: TransportChoice) {
    this.random = chance(seed);
    // Every second client names what it follows; the others follow all there are.
    this.isAll = seed % 2 === 0;
    this.named = new Set(this.isAll ? [] : PIPELINES);
    if (this.isAll) for (const id of PIPELINES.slice(3)) this.heads.delete(id);
    const intervals = seed % 3 === 0 ? { busyMs: 1_000, idleMs: 2_000, offlineMs: 3_000 } : null;
    this.machine = new Machine({
      pipelines: [...this.named], scope: this.isAll ? { all: true } : null, intervals, transport, part: 50, chance: this.random, userAgent: "test",
    });
  }

  /** What the subscriber shall have in the end. */
  get wanted(): string[] {
    return [...this.heads.keys()].filter((id) => this.isAll || this.named.has(id)).sort();
  }

  #listing = false;

  give(input: Input): void {
    if (input.type === "listed") this.#listing = false;
    if ("poll" in input && this.#polls.get(input.pipeline) === input.poll) this.#polls.delete(input.pipeline);
    if (input.type === "subscribed" || input.type === "pong") this.#questions = Math.max(this.#questions - (input.conn === this.#conn ? 1 : 0), 0);
    for (const command of this.machine.handle(this.now, input)) this.#do(command);
    this.#deny("a poll beside a socket that has proved itself", this.machine.phase === "live" && this.#polls.size > 0);
  }

  #later(input: Input, most = 2_000): void {
    if (this.random() < this.fails * 0.3) return;
    this.#queue.push({ at: this.now + this.random() * most, input });
    this.#queue.sort((x, y) => x.at - y.at);
  }

  /** In the order of the socket. */
  #send(input: Input): void {
    if (this.random() >= this.fails * 0.1) this.#queue.push({ at: this.now, input });
  }

  #deny(rule: string, denied: boolean): void {
    if (denied) this.problems.push(`${rule} at ${this.now} in ${this.machine.phase}`);
  }

  #do(command: Command): void {
    const bad = this.random() < this.fails;
    switch (command.type) {
      case "ask_advice":
        if (bad) this.#later({ type: "not_advised", ask: command.ask });
        else this.#later({ type: "advised", ask: command.ask, advice: { transport: bad ? "polling" : "auto", rolloutPercentage: this.random() < this.fails ? 40 : 100, retryAfterMs: 500 } });
        return;
      case "open_socket":
        this.#deny("a second socket", this.#conn !== null);
        this.#deny("a socket against the choice", this.transport === "polling");
        this.#deny("a number twice", command.conn <= this.#lastConn);
        this.#lastConn = this.#conn = command.conn;
        if (!bad) this.#later({ type: "socket_opened", conn: command.conn, rules: socketRules });
        else this.#later(pick<Input>(this.random, [
          { type: "socket_lost", conn: command.conn, message: "lost" },
          { type: "socket_refused", conn: command.conn, code: null, message: "refused", retryable: true },
          { type: "socket_refused", conn: command.conn, code: "closing", message: "closing", retryable: true },
        ]));
        return;
      case "close_socket":
        this.#deny("a socket closed that is not open", this.#conn !== command.conn);
        this.#conn = null;
        this.#questions = 0;
        this.#following.clear();
        this.#isSubscribedToAll = false;
        return;
      case "subscribe": {
        this.#question();
        const { conn } = command;
        if (bad && this.random() < 0.5) return this.#later({ type: "subscribed", conn, reply: { error: { code: "overloaded", message: "no", retryable: true } } });
        const { all, pipeline_ids: named = [] } = command.request as SubscribeRequest & { all?: boolean };
        this.#deny("a subscription to nothing", named.length === 0 && !all && !command.request.pipeline_type);
        this.#deny("all, without being asked to", all === true && !this.isAll);
        if (all) this.#isSubscribedToAll = true;
        const ids = [...new Set([...named, ...(all ? this.heads.keys() : [])])];
        for (const id of ids) {
          this.#following.add(id);
          for (const message of this.after(id, command.request.cursors?.[id] ?? null)) this.#send({ type: "message", conn, message });
        }
        const answers = ids.map((id) => ({ pipeline_id: id, recovered: true, replayed: 0, ...(!this.heads.has(id) && { reason: "unknown_pipeline" as const }) }));
        return this.#later({ type: "subscribed", conn, reply: { pipelines: answers } });
      }
      case "unsubscribe":
        this.#deny("a message to a socket that is not open", this.#conn !== command.conn);
        for (const id of command.pipelines) this.#following.delete(id);
        return;
      case "list": {
        this.#deny("a second open list", this.#listing);
        this.#listing = true;
        const pipelines = bad ? null : [...this.heads.keys()].map((pipeline_id) => ({ pipeline_id, pipeline_type: "t" }));
        // An answer or a failure always comes, as requests have a limit.
        return void this.#queue.push({ at: this.now + this.random() * 2_000, input: { type: "listed", list: command.list, pipelines, code: null, message: "no" } });
      }
      case "ping":
        this.#question();
        return this.#later({ type: "pong", conn: command.conn });
      case "poll": {
        const { poll, pipeline } = command;
        this.#deny("a second poll of a pipeline", this.#polls.has(pipeline));
        this.#deny("a poll against the choice", this.transport === "websocket");
        this.#polls.set(pipeline, poll);
        this.#deny("too many polls", this.#polls.size > MAX_POLLS);
        if (bad) return void this.#queue.push({ at: this.now + 100, input: { type: "poll_failed", poll, pipeline, code: null, message: "no", retryAfterMs: null } });
        return void this.#queue.push({ at: this.now + this.random() * 3_000, input: { type: "poll_answered", poll, pipeline, messages: this.after(pipeline, command.cursor), bad: false, unknown: !this.heads.has(pipeline) } });
      }
      case "stop_polls":
        for (const id of command.pipelines) this.#polls.delete(id);
        if (this.machine.phase === "live") this.#listing = false;
        return;
      case "emit": {
        const { update } = command;
        if (update.kind === "event") {
          const { seq } = update.event.data;
          this.#deny(`a hole or a repeat: ${seq} after ${this.told.get(update.pipeline)}`, seq !== (this.told.get(update.pipeline) ?? 0) + 1);
          this.told.set(update.pipeline, seq);
        }
        if (update.kind === "snapshot") this.told.set(update.pipeline, this.machine.state(update.pipeline)?.seq ?? -1);
        if (update.kind === "reset" || update.kind === "removed") this.told.delete(update.pipeline);
        return;
      }
      default:
        command satisfies never;
    }
  }

  #question(): void {
    this.#questions += 1;
    this.#deny("a second open question", this.#questions > 1);
  }

  /** What a hub answers to a cursor. */
  after(id: string, cursor: Cursor | null): Message[] {
    const head = this.heads.get(id);
    if (!head) return [];
    const { epoch, seq } = head;
    if (cursor?.epoch === epoch && cursor.seq <= seq && seq - cursor.seq < 8) {
      return Array.from({ length: seq - cursor.seq }, (_, index) => event(id, epoch, cursor.seq + index + 1));
    }
    const reason = cursor === null ? {} : { reason: cursor.epoch !== epoch ? "epoch_changed" : cursor.seq > seq ? "ahead" : "trimmed" };
    return [{ event: "pipeline:status", data: { ...snapshot(id, head), ...reason } }];
  }

  /** Something happens at the hub or around. */
  happen(): void {
    const id = pick(this.random, PIPELINES);
    const conn = this.#conn;
    const dice = this.random();
    let head = this.heads.get(id);
    if (!head) {
      // What is forgotten when all is well again stays so.
      if (this.fails === 0) return;
      // A new pipeline begins.
      this.#epochs += 1;
      head = { epoch: `n${this.#epochs}`, seq: 0 };
      this.heads.set(id, head);
      if (this.#isSubscribedToAll) this.#following.add(id);
      return this.#happened(id, head);
    }
    if (this.fails > 0 && this.random() < 0.02) return this.#upheaval(id, head);
    if (dice < 0.6) {
      this.#happened(id, head);
    } else if (dice < 0.6 + this.fails * 0.1) {
      this.#epochs += 1;
      this.heads.set(id, { epoch: `e${this.#epochs}`, seq: 1 });
    } else if (dice < 0.6 + this.fails * 0.2 && conn !== null) {
      this.#queue.push({ at: this.now, input: pick<Input>(this.random, [
        { type: "socket_lost", conn, message: "cut" },
        { type: "message", conn, message: { event: "hub:closing", data: { retry_after_ms: 700 } } },
        { type: "message", conn, message: { event: "subscription:ended", data: { pipeline_id: id, code: "internal" } } },
        { type: "bad_message", conn, pipeline: id },
        { type: "bad_message", conn, pipeline: null },
      ]) });
    } else if (dice < 0.6 + this.fails * 0.3) {
      this.give({ type: pick(this.random, ["hidden", "visible", "offline", "online", "caught_up"] as const) });
    } else if (conn !== null && this.#following.has(id)) {
      const { epoch, seq } = head;
      this.#send({ type: "message", conn, message: { event: "heartbeat", data: { ...shared(id), epoch, seq, status: "alive", liveness: "live", uptime: 1, active_files: 0 } } });
    }
  }

  #happened(id: string, head: Cursor, name = "x:step"): void {
    head.seq += 1;
    if (this.#conn === null || !this.#following.has(id)) return;
    const input: Input = { type: "message", conn: this.#conn, message: { ...event(id, head.epoch, head.seq), event: name } };
    // After the last event of a pipeline nothing comes by which its loss would be found.
    if (name === "pipeline:removed") this.#queue.push({ at: this.now, input });
    else this.#send(input);
  }

  cut(): void {
    if (this.#conn !== null) this.give({ type: "socket_lost", conn: this.#conn, message: "cut" });
  }

  /** A pipeline is forgotten by the hub, or no longer followed by this client, or followed again. */
  #upheaval(id: string, head: Cursor): void {
    if (this.random() < 0.3) {
      this.#happened(id, head, "pipeline:removed");
      this.heads.delete(id);
    } else if (this.named.has(id)) {
      this.named.delete(id);
      this.give({ type: "unfollow", pipelines: [id] });
    } else {
      this.named.add(id);
      this.give({ type: "follow", pipelines: [id] });
    }
  }

  /** The next thing that is due, be it of the network or of the machine. */
  step(until: number): boolean {
    const due = Math.min(this.#queue[0]?.at ?? Infinity, this.machine.deadline ?? Infinity);
    if (due > until) {
      this.now = until;
      return false;
    }
    this.now = Math.max(this.now, due);
    const next = this.#queue[0];
    if (next && next.at <= this.now) {
      this.#queue.shift();
      this.give(next.input);
    } else {
      this.give({ type: "tick" });
    }
    return true;
  }
}

const shared = (id: string) => ({ pipeline_id: id, pipeline_type: "t", timestamp: at, received_at: at });
const event = (id: string, epoch: string, seq: number): Message => ({ event: "x:step", data: { ...shared(id), epoch, seq } });
const snapshot = (id: string, { epoch, seq }: Cursor): PipelineStatus => ({
  pipeline_id: id, pipeline_type: "t", epoch, seq, timestamp: at, status: "online", liveness: "live", last_activity: at,
  total_processed: 0, total_failed: 0, counts: { queued: 0, processing: 0, completed: 0, failed: 0, skipped: 0, cancelled: 0 },
  files: [], limits: { open: 1000, ended: 200 },
});

test.each(["auto", "websocket", "polling"] as const)("by %s: no rule is broken, and all comes to everything in the end", (transport) => {
  for (let seed = 1; seed <= 150; seed += 1) {
    const world = new World(seed, transport);
    const { machine } = world;
    world.give({ type: "start" });
    const run = (until: number): void => {
      for (let steps = 0; world.step(until); steps += 1) if (steps > 5_000) throw new Error(`seed ${seed}: it spins at ${world.now}`);
    };
    for (let moment = 0; moment < 200; moment += 1) {
      world.happen();
      run(world.now + world.random() * 600);
    }
    world.fails = 0;
    // A socket on which messages were lost, as none is, would never tell of the last event of a pipeline.
    world.cut();
    // Longer than the longest back-off, and than what a browser says about the network.
    world.give({ type: "online" });
    for (let moment = 0; moment < 24; moment += 1) {
      run(world.now + 10_000);
      for (let beat = 0; beat < 12; beat += 1) world.happen();
    }
    // Somebody looks again: what rested while nobody did is due.
    world.give({ type: "visible" });
    run(world.now + 10_000);
    expect(world.problems, `seed ${seed}`).toEqual([]);
    const { state } = machine.status;
    expect(state, `seed ${seed}`).toBe(transport === "polling" ? "polling" : "websocket");
    expect(machine.pipelines.filter((id) => machine.state(id)).sort(), `seed ${seed}`).toEqual(world.wanted);
    for (const id of world.wanted) {
      const head = world.heads.get(id);
      const { epoch, seq } = machine.state(id) ?? {};
      expect({ epoch, seq }, `seed ${seed}, ${id}`).toEqual(head);
    }
    world.give({ type: "stop" });
    expect([machine.phase, machine.deadline]).toEqual(["closed", null]);
  }
});
