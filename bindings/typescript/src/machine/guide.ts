// What a hub says of how it wants to be followed (`GET /api/socket/info`), and what comes of it for this client.
//
// What may come in: any advice, or none. What it never does: I/O; overrule the caller's own choice; ask more often than
// every ASK_EVERY_MS.
import type { Advice, TransportChoice } from "./io.js";

/** How long an answer may take: then it goes on without. */
export const ASK_WITHIN_MS = 3_000;
/** The least time between two questions, also when they failed. */
export const ASK_EVERY_MS = 30_000;
/** The longest a hub can put a client off. */
const LONGEST_ASKED_MS = 300_000;

/** CRC-32 (IEEE) of a text in UTF-8. */
function crc32(text: string): number {
  let crc = 0xffff_ffff;
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb8_8320 : crc >>> 1;
  }
  return (crc ^ 0xffff_ffff) >>> 0;
}

/** Which of a hundred parts of all clients this one is in: the CRC-32 of its id, which every language has, modulo 100. */
export function partOf(clientId: string): number {
  return crc32(clientId) % 100;
}

/** What is known of the hub's wishes. */
export class Guide {
  readonly #chosen: TransportChoice;
  readonly #part: number;
  #advice: Advice | null = null;
  /** When the hub may be asked again. */
  nextAt = -Infinity;
  #lastAsk = 0;

  constructor(chosen: TransportChoice, part: number) {
    this.#chosen = chosen;
    this.#part = part;
  }

  /** Whether the hub is to be asked before a socket is opened. */
  isDue(now: number): boolean {
    // Who only polls has no socket to be advised about.
    return this.#chosen !== "polling" && this.nextAt <= now;
  }

  /** The hub is asked now; gives the number of the question. */
  ask(now: number): number {
    this.nextAt = now + ASK_EVERY_MS;
    this.#lastAsk += 1;
    return this.#lastAsk;
  }

  /** The answer. */
  take(advice: Advice): void {
    this.#advice = advice;
  }

  /** By what to connect: what the caller chose, else what the hub says. */
  get choice(): TransportChoice {
    if (this.#chosen !== "auto" || this.#advice === null) return this.#chosen;
    return this.#part >= this.#advice.rolloutPercentage ? "polling" : this.#advice.transport;
  }

  /** How long to stay away after a socket was lost: as long as was asked for now, or is asked for always, within reason. */
  putOff(askedMs: number): number {
    return Math.min(Math.max(askedMs, this.#advice?.retryAfterMs ?? 0), LONGEST_ASKED_MS);
  }
}
