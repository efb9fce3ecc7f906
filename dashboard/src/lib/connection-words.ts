// The connection in words: how it is, why it is no better, and what can be done.
//
// What may come in: any state and cause of @ragpulse/client. What it never does: leave a cause without advice.
import type { Cause, ConnectionState, ConnectionStatus } from "@ragpulse/client";
import { clockSpan } from "./format.js";
import { shown } from "./text.js";

/** The state in one or two words. */
export const STATE_WORDS: Readonly<Record<ConnectionState, string>> = {
  connecting: "Connecting",
  websocket: "Live",
  polling: "Polling",
  waiting: "Hub not reached",
  closed: "Closed",
};

function why(cause: Cause): string {
  switch (cause.kind) {
    case "chosen":
      return "This page was told to poll.";
    case "advised":
      return "The hub asks this page to poll for now.";
    case "failed":
      return `The connection broke or could not be made (${shown(cause.message)}).`;
    case "offline":
      return "This computer has no network.";
    case "refused":
      return `Something between this page and the hub, such as a proxy, lets no WebSocket through (${shown(cause.message)}).`;
    case "rejected":
      return cause.code === "unauthorized" || cause.code === "forbidden"
        ? "The hub asks for a token, or does not take this one."
        : `The hub said no: ${shown(cause.message)}`;
    case "silence":
      return `Nothing was heard for ${clockSpan(cause.afterMs / 1000)}, though the connection looked open.`;
    case "hub_closing":
      return `The hub is closing, and asked to be left alone for ${clockSpan(Math.max(1, cause.retryAfterMs / 1000))}.`;
    case "closed":
      return "This page has ended the connection.";
    default:
      return cause satisfies never;
  }
}

/** What it means for what is seen on the page, and why. */
export function explain({ state, cause }: ConnectionStatus): string {
  const because = cause ? ` ${why(cause)}` : "";
  switch (state) {
    case "websocket":
      return "Events arrive as they happen.";
    case "polling":
      return `The same events arrive by HTTP, a little later.${because} A WebSocket is tried again from time to time.`;
    case "connecting":
      return `It is being worked on.${because}`;
    case "waiting":
      return `What is shown may be old.${because} It is tried again by itself, and goes on where it stopped.`;
    case "closed":
      return `What is shown is old.${because}`;
    default:
      return state satisfies never;
  }
}

/** Whether the hub wants a token, or another one. */
export const wantsToken = ({ cause }: ConnectionStatus): boolean => cause?.kind === "rejected" && cause.code === "unauthorized";
