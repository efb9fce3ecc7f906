// When polls are due, and the small parts beside the machine: back-off, advice, silence.
import { expect, test } from "vitest";

import { Backoff } from "../src/machine/backoff.js";
import { ASK_EVERY_MS, Guide, partOf } from "../src/machine/guide.js";
import { Link } from "../src/machine/link.js";
import { MAX_POLLS, Polls } from "../src/machine/polls.js";

const start = (polls: Polls, now: number): [poll: number, pipeline: string, waitSeconds: number][] => {
  const started: [number, string, number][] = [];
  polls.startDue(now, () => null, (poll, pipeline, _, wait) => started.push([poll, pipeline, wait]));
  return started;
};

test("the first poll is not held, and an empty answer that was held for nothing is not followed at once", () => {
  const polls = new Polls(true);
  polls.add("p", 0);
  expect(start(polls, 0)).toEqual([[1, "p", 0]]);
  polls.answered("p", false, 0, 5);
  expect(start(polls, 5)).toEqual([[2, "p", 25]]);
  polls.answered("p", false, 0, 10);
  expect(polls.deadline(false)).toBe(1_005);
  start(polls, 1_005);
  polls.answered("p", false, 0, 26_005);
  expect(polls.deadline(false)).toBe(26_005);
});

test("many pipelines that are quiet are asked less often, and after news at once", () => {
  const restOf = (count: number, news: boolean): number => {
    const polls = new Polls(true);
    for (let number = 0; number < count; number += 1) polls.add(`p${number}`, number);
    for (let number = 0; number < count; number += 1) {
      start(polls, 1_000 + number);
      polls.answered(`p${number}`, news, 0, 1_000 + number);
    }
    return polls.deadline(false) - 1_000;
  };
  expect([restOf(5, false), restOf(20, false), restOf(500, false)]).toEqual([2_000, 2_000, 50_000]);
  expect(restOf(5, true)).toBeLessThan(10);
});

test("many pipelines take turns, and one never has two polls", () => {
  const polls = new Polls(true);
  for (let number = 0; number < MAX_POLLS + 2; number += 1) for (let twice = 0; twice < 2; twice += 1) polls.add(`p${number}`, number);
  expect(start(polls, 10).map(([, pipeline]) => pipeline)).toEqual(["p0", "p1", "p2", "p3"]);
  expect(start(polls, 10)).toEqual([]);
  expect(polls.deadline(false)).toBe(Infinity);
  polls.answered("p0", true, 0, 20);
  expect(start(polls, 20)).toEqual([[5, "p4", 0]]);
  expect(polls.expects("p0", 1)).toBe(false);
});

test("a failed poll rests for longer each time, and at least as long as was asked", () => {
  const polls = new Polls(true);
  const backoff = new Backoff(1_000, 4_000, () => 0.999_999);
  polls.add("p", 0);
  start(polls, 0);
  polls.failed("p", 10_000, backoff, 0);
  expect(Math.round(polls.deadline(false))).toBe(15_000);
  polls.hurry(3);
  expect(polls.deadline(false)).toBe(3);
});

test("waits double up to the limit, with jitter, and start over after a success", () => {
  const most = new Backoff(100, 3_000, () => 1);
  expect(Array.from({ length: 7 }, () => most.fail())).toEqual([100, 200, 400, 800, 1_600, 3_000, 3_000]);
  most.reset();
  expect(most.fail()).toBe(100);
  expect(new Backoff(100, 3_000, () => 0).fail()).toBe(50);
  expect(most.spread(0)).toBe(1_000);
  expect(most.spread(10_000)).toBe(15_000);
  for (let failures = 0; failures < 3_000; failures += 1) expect(most.fail()).toBeLessThanOrEqual(3_000);
});

test("the caller's choice wins over the hub's, and the rollout over its transport", () => {
  for (const [chosen, transport, rolloutPercentage, choice] of [
    ["auto", "polling", 100, "polling"],
    ["auto", "websocket", 100, "websocket"],
    ["auto", "auto", 43, "auto"],
    ["auto", "auto", 42, "polling"],
    ["auto", "websocket", 0, "polling"],
    ["websocket", "polling", 0, "websocket"],
    ["polling", "websocket", 100, "polling"],
  ] as const) {
    const guide = new Guide(chosen, 42);
    expect(guide.choice).toBe(chosen);
    guide.take({ transport, rolloutPercentage, retryAfterMs: 1_000 });
    expect(guide.choice, `${chosen} ${transport} ${rolloutPercentage}`).toBe(choice);
  }
});

test("the part of a client is the same in every language, and it is asked every thirty seconds at most", () => {
  // The check value of CRC-32 is 0xCBF43926, or 3,421,780,262.
  expect([partOf(""), partOf("123456789")]).toEqual([0, 62]);
  const guide = new Guide("auto", 0);
  expect(guide.isDue(0)).toBe(true);
  guide.ask(0);
  expect([guide.isDue(ASK_EVERY_MS - 1), guide.isDue(ASK_EVERY_MS)]).toEqual([false, true]);
  expect(new Guide("polling", 0).isDue(ASK_EVERY_MS)).toBe(false);
});

test("silence counts from the last thing heard, but an answer is not waited for for ever", () => {
  const link = new Link(0);
  expect(link.next(0)).toMatchObject({ kind: "subscribe", all: true });
  link.ask({ kind: "subscribe", all: true, asked: new Map() }, 0);
  expect(link.next(0)).toBe(null);
  expect(link.answered("ping", 0, 5_000), "that was no ping").toBe(null);
  expect(link.deadAt).toBe(3_000);
  link.heard(2_000);
  expect(link.deadAt).toBe(5_000);
  link.heard(29_000);
  expect(link.deadAt).toBe(30_000);
  link.answered("subscribe", 29_000, 5_000);
  expect(link.deadAt).toBe(null);
  expect(link.next(29_000)).toEqual({ kind: "ping" });
});
