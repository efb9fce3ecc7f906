// The connection machine's rules for a socket that is being opened, and for one that is lost; talk.ts has those for one
// that is open.
//
// What may come in: what a socket tells, also one that was given up. What it never does: believe a socket that is not
// the current one.
import { type Core, OPEN_WITHIN_MS } from "./core.js";
import type { InputOf } from "./io.js";
import type { Told } from "./talk.js";

/** The hub has let the socket in. */
export function onOpened(core: Core, now: number, { conn, rules }: InputOf<"socket_opened">): void {
  if (core.step.at === "open" && core.conn === conn) core.step = { at: "talk", conn, link: rules.link(now), rules };
}

/** What an open socket tells. */
export function onTold(core: Core, now: number, told: Told): void {
  const { step } = core;
  if (step.at === "talk" && step.conn === told.conn) step.rules.take(core, now, told);
}

/** The hub, or something before it, does not let the socket in. */
export function onRefused(core: Core, now: number, { conn, code, message, retryable }: InputOf<"socket_refused">): void {
  // No hub's word: a proxy, or a server that is none. Polling may get through.
  if (code === null) core.lost(now, conn, { kind: "refused", message });
  else if (retryable) core.lost(now, conn, { kind: "rejected", code, message });
  // One authoriser speaks for all transports: polling would be told the same.
  else if (core.conn === conn) core.close({ kind: "rejected", code, message });
}

/** The socket broke, or could not be opened. */
export function onBroken(core: Core, now: number, { conn, message }: InputOf<"socket_lost">): void {
  core.lost(now, conn, core.failure(message));
}

/** Opening the socket takes too long. */
export function onSlow(core: Core, now: number, conn: number): void {
  core.lost(now, conn, { kind: "silence", afterMs: OPEN_WITHIN_MS });
}
