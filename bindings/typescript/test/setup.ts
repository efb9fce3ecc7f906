// What several tests need: payloads that are whole, and a machine that is driven by hand.
import type { Cursor, PipelineStatus } from "../src/generated/index.js";
import { Machine, type MachineOptions, socketRules } from "../src/machine/index.js";
import type { Command, CommandOf, Input, Update } from "../src/machine/io.js";
import type { Message } from "../src/messages.js";

export const AT = "2026-01-01T00:00:00.000Z";
const shared = (id: string, type: string) => ({ pipeline_id: id, pipeline_type: type, timestamp: AT, received_at: AT });

/** An event that changes no file. */
export const event = (id: string, seq: number, { epoch = "e", type = "t", name = "x:step" } = {}): Message => ({
  event: name,
  data: { ...shared(id, type), epoch, seq },
});

/** The payload of `pipeline:status`. */
export const status = (id: string, seq: number, more: Partial<PipelineStatus> = {}): PipelineStatus => ({
  pipeline_id: id, pipeline_type: "t", epoch: "e", seq, timestamp: AT, status: "online", liveness: "live", last_activity: AT,
  total_processed: 0, total_failed: 0, counts: { queued: 0, processing: 0, completed: 0, failed: 0, skipped: 0, cancelled: 0 },
  files: [], limits: { open: 1000, ended: 200 }, ...more,
});
export const snapshot = (id: string, seq: number, more: Partial<PipelineStatus> = {}): Message => ({
  event: "pipeline:status",
  data: status(id, seq, more),
});

/** A machine and all that it ever said. */
export class Bench {
  readonly machine: Machine;
  now = 0;
  said: Command[] = [];

  constructor(options: Partial<MachineOptions> = {}) {
    this.machine = new Machine({ pipelines: ["p"], transport: "auto", part: 50, chance: () => 0.5, userAgent: "test", ...options });
  }

  /** Gives an input; gives what it led to. */
  give(input: Input): Command[] {
    const commands = this.machine.handle(this.now, input);
    this.said.push(...commands);
    return commands;
  }

  /** Lets time pass, with every tick that falls due; gives what it led to. */
  pass(ms: number): Command[] {
    const until = this.now + ms;
    const commands: Command[] = [];
    for (let due = this.machine.deadline; due !== null && due <= until; due = this.machine.deadline) {
      this.now = Math.max(this.now, due);
      commands.push(...this.give({ type: "tick" }));
    }
    this.now = until;
    return commands;
  }

  /** The last command of a type. */
  last<T extends Command["type"]>(type: T): CommandOf<T> {
    const found = this.said.filter((command) => command.type === type).at(-1);
    if (!found) throw new Error(`it never said ${type}`);
    return found as CommandOf<T>;
  }

  all<T extends Command["type"]>(type: T): CommandOf<T>[] {
    return this.said.filter((command): command is CommandOf<T> => command.type === type);
  }

  get updates(): Update[] {
    return this.all("emit").map(({ update }) => update);
  }

  get conn(): number {
    return this.last("open_socket").conn;
  }

  /** Begins, and goes on until a socket is open; the subscription is asked for, not acknowledged. */
  open(): this {
    this.give({ type: "start" });
    this.give({ type: "not_advised", ask: this.last("ask_advice").ask });
    this.give({ type: "socket_opened", conn: this.conn, rules: socketRules });
    return this;
  }

  /** The same, live and proven. */
  live(): this {
    this.open();
    if (this.machine.phase === "joining") this.acknowledge();
    this.give({ type: "pong", conn: this.conn });
    return this;
  }

  /** A good answer to the last `subscribe`. */
  acknowledge(pipelines: { pipeline_id: string; recovered: boolean; replayed: number; reason?: "unknown_pipeline" }[] = []): Command[] {
    return this.give({ type: "subscribed", conn: this.conn, reply: { pipelines } });
  }

  refuse(code: "forbidden" | "overloaded" | "unauthorized"): Command[] {
    const error = { code, message: "no", retryable: code === "overloaded" };
    return this.give({ type: "subscribed", conn: this.conn, reply: { error } });
  }

  receive(message: Message): Command[] {
    return this.give({ type: "message", conn: this.conn, message });
  }

  /** Answers the poll of a pipeline that is under way. */
  answer(pipeline: string, messages: Message[] = [], more: { bad?: boolean; unknown?: boolean } = {}): Command[] {
    const { poll } = this.polls(pipeline).at(-1)!;
    return this.give({ type: "poll_answered", poll, pipeline, messages, bad: false, unknown: false, ...more });
  }

  polls(pipeline: string): CommandOf<"poll">[] {
    return this.all("poll").filter((poll) => poll.pipeline === pipeline);
  }

  list(...pipelines: [id: string, type: string][]): Command[] {
    const listed = pipelines.map(([pipeline_id, pipeline_type]) => ({ pipeline_id, pipeline_type }));
    return this.give({ type: "listed", list: this.last("list").list, pipelines: listed, code: null, message: "" });
  }

  cursor(id: string): Cursor | null {
    const state = this.machine.state(id);
    return state && { epoch: state.epoch, seq: state.seq };
  }
}
