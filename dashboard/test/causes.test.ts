import type { FileStatus } from "@ragpulse/client";
import { expect, test } from "vitest";
import { groupCauses } from "../src/lib/causes.js";

const failed = (seq: number, type: string, message: string, more: { stage?: string; retryable?: boolean } = {}): FileStatus => ({
  id: `f${seq}`, name: `f${seq}.txt`, state: "failed", seq, attempt: 1,
  error: { type, message, retryable: more.retryable ?? false, ...(more.stage && { stage: more.stage }) },
});

test("failures of one kind are one group, the largest first, with the newest of each", () => {
  const groups = groupCauses([
    failed(1, "ParseError", "page 1", { stage: "extraction" }),
    failed(5, "RateLimited", "wait", { retryable: true }),
    failed(9, "ParseError", "page 7", { stage: "extraction", retryable: true }),
    failed(3, "ParseError", "page 1", { stage: "chunking" }),
  ]);
  expect(groups.map(({ kind, amount, messages, retryable }) => [kind, amount, messages, retryable])).toEqual([
    ["ParseError in extraction", 2, 2, 1],
    ["ParseError in chunking", 1, 1, 0],
    ["RateLimited", 1, 1, 1],
  ]);
  expect(groups[0]?.last.id).toBe("f9");
  expect(groups[0]?.query).toBe("ParseError");
});

test("files that did not fail, or without a cause, are in no group; marks in kinds are visible", () => {
  const waiting: FileStatus = { ...failed(1, "Busy", "again"), state: "queued" };
  const { error: _, ...bare } = failed(2, "x", "y");
  expect(groupCauses([waiting, bare])).toEqual([]);
  expect(groupCauses([failed(1, "Bad\u202eError\n", "m")])[0]?.kind).toBe("Bad\uFFFDError ");
});
