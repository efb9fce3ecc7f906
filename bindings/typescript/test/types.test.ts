// What TypeScript knows: each name narrows to its payload, and options that cannot be meant do not compile.
import { describe, expect, expectTypeOf, test } from "vitest";

import {
  connectPipelineStatus, type ConnectOptions, createPipelineStatusStore, type EventPayloads, fetchInitialState, type FilesPage,
  isMessage, isSequenceEvent, listFiles, type Message, type MessagePayloads, type OtherEvent, type Payloads, type PipelineStatus,
  type PipelineStatusStore, type SequenceEvent, type UnconnectedStore, type Update,
} from "../src/index.js";
import { AT } from "./setup.js";

// Of every event: a name that is missing here, or one too many, does not compile.
const NAMES = {
  "pipeline:online": true, "pipeline:offline": true, "pipeline:removed": true, "file:queued": true, "file:processing": true,
  "file:progress": true, "file:completed": true, "file:failed": true, "file:skipped": true, "file:retrying": true,
  "file:cancelled": true, "file:deleted": true, "status:update": true, "pipeline:status": true, "heartbeat": true,
  "subscription:ended": true, "hub:closing": true,
} satisfies Record<keyof Payloads, true>;

describe("messages", () => {
  test("payloads are those of events and of messages, and of nothing else", () => {
    expectTypeOf<keyof Payloads>().toEqualTypeOf<keyof EventPayloads | keyof MessagePayloads>();
    expectTypeOf<keyof Payloads>().toEqualTypeOf<keyof typeof NAMES>();
  });

  test("each name narrows to its payload", () => {
    const message: Message = { event: "heartbeat", data: {} };
    const narrow = <K extends keyof Payloads>(name: K): void => {
      if (isMessage(message, name)) void (message.data satisfies Payloads[K]);
      expect(isMessage(message, name)).toBe(name === "heartbeat");
    };
    for (const name of Object.keys(NAMES) as (keyof Payloads)[]) narrow(name);
    if (isMessage(message, "file:failed")) expectTypeOf(message.data.error.message).toEqualTypeOf<string>();
    if (isMessage(message, "file:progress")) expectTypeOf(message.data.progress).toEqualTypeOf<number>();
    if (isMessage(message, "pipeline:status")) expectTypeOf(message.data).toEqualTypeOf<PipelineStatus>();
    // @ts-expect-error: there is no such event.
    isMessage(message, "file:eaten");
    const unknown: Message = { event: "x:mine", data: { timestamp: AT } };
    if (isSequenceEvent(unknown)) expectTypeOf(unknown.data).toEqualTypeOf<OtherEvent>();
  });

  test("an update is told apart by its kind", () => {
    const read = (update: Update): void => {
      if (update.kind === "event") expectTypeOf(update.event).toEqualTypeOf<SequenceEvent>();
      if (update.kind === "connection") expectTypeOf(update.status.state).toEqualTypeOf<"connecting" | "websocket" | "polling" | "waiting" | "closed">();
      // @ts-expect-error: what is about the connection is about no pipeline.
      void update.pipeline;
    };
    expectTypeOf(read).parameters.toEqualTypeOf<[Update]>();
  });
});

test("options", () => {
  const options = (given: ConnectOptions): ConnectOptions => given;
  options({ url: "http://h" });
  options({ url: new URL("http://h"), pipelines: "all", polling: { busyMs: 1 }, token: async () => "t", transport: "polling" });
  options({ url: "http://h", pipelines: { type: "t" }, polling: "interval", reports: false, initial: [] });
  // @ts-expect-error: without an address.
  options({});
  // @ts-expect-error: no such choice.
  options({ url: "http://h", transport: "sse" });
  // @ts-expect-error: one is an array of one.
  options({ url: "http://h", pipelines: "p" });
  // @ts-expect-error: a type is a text.
  options({ url: "http://h", pipelines: { type: 7 } });
  // @ts-expect-error: no such interval.
  options({ url: "http://h", polling: { fastMs: 1 } });
  // @ts-expect-error: a token is a text, or gives one.
  options({ url: "http://h", token: 7 });
  // @ts-expect-error: absent is absent.
  options({ url: "http://h", transport: undefined });
  // @ts-expect-error: states, not ids.
  options({ url: "http://h", initial: ["p"] });
  // @ts-expect-error: no such option.
  options({ url: "http://h", reconnect: true });
  expectTypeOf(connectPipelineStatus).returns.toEqualTypeOf<PipelineStatusStore>();
  expectTypeOf(createPipelineStatusStore).returns.toEqualTypeOf<UnconnectedStore>();
  expectTypeOf(fetchInitialState).returns.resolves.toEqualTypeOf<PipelineStatus[]>();
  expectTypeOf(listFiles).returns.resolves.toEqualTypeOf<FilesPage>();
});

test("what the store hands out is not to be written to", () => {
  const write = (store: PipelineStatusStore): void => {
    // @ts-expect-error: a list is read.
    store.pipelines.push("p");
    // @ts-expect-error: a status is read.
    store.connection.state = "closed";
    // @ts-expect-error: vitals are read.
    store.vitals.latencyMs = 1;
  };
  expectTypeOf(write).toBeFunction();
});
