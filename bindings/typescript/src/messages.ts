// What a hub sends, as the rest of this package handles it: a name and a payload.
//
// What may come in: messages of any version of the contract; names that are not known are carried like the others.
// What it never does: look into a payload. That is done once, in decode.ts.
import type { EventPayloads, MessagePayloads, OtherEvent } from "./generated/index.js";

/** A message as it comes over the wire. */
export interface Message {
  /** Its name. */
  readonly event: string;
  /** Its payload. */
  readonly data: object;
}

/** The payload of each message that the contract names. */
export type Payloads = EventPayloads & MessagePayloads;

/** A message of a certain name. */
export interface MessageOf<K extends keyof Payloads> extends Message {
  readonly event: K;
  readonly data: Payloads[K];
}

/** An event of a pipeline's sequence, whether its name is known or not. */
export interface SequenceEvent extends Message {
  readonly data: OtherEvent;
}

/** Whether a message is the one of this name; tells TypeScript its payload. */
export function isMessage<K extends keyof Payloads>(message: Message, event: K): message is MessageOf<K> {
  return message.event === event;
}

const NOT_IN_A_SEQUENCE: ReadonlySet<string> = new Set<keyof MessagePayloads>([
  "pipeline:status",
  "heartbeat",
  "subscription:ended",
  "hub:closing",
]);

/** Whether a message is an event of a pipeline's sequence. */
export function isSequenceEvent(message: Message): message is SequenceEvent {
  return !NOT_IN_A_SEQUENCE.has(message.event);
}
