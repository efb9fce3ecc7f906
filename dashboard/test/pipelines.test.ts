import type { Counts, Liveness, PipelineStatus } from "@ragpulse/client";
import { expect, test } from "vitest";
import { busiest, countStages, orderPipelines, progressOf, standingOf } from "../src/lib/pipelines.js";

const counts = (some: Partial<Counts> = {}): Counts => ({ queued: 0, processing: 0, completed: 0, failed: 0, skipped: 0, cancelled: 0, ...some });
const state = (liveness: Liveness, some: Partial<Counts> = {}, files: PipelineStatus["files"] = []): PipelineStatus => ({
  pipeline_id: "p", pipeline_type: "t", epoch: "e", seq: 1, timestamp: "2026-01-01T00:00:00.000Z", status: "online", liveness,
  last_activity: "2026-01-01T00:00:00.000Z", total_processed: 0, total_failed: 0, counts: counts(some), files, limits: { open: 1_000, ended: 200 },
});

test("what is wrong comes first, and the order does not hang on counts that move", () => {
  const states = new Map<string, PipelineStatus | null>([
    ["over", state("offline", { failed: 9 })], ["new", null], ["idle", state("live", { completed: 3 })], ["busy", state("live", { queued: 1 })],
    ["bad-b", state("live", { failed: 1 })], ["bad-a", state("live", { failed: 1, queued: 7 })], ["slow", state("late")], ["gone", state("lost")],
  ]);
  expect(orderPipelines(states)).toEqual(["gone", "slow", "bad-a", "bad-b", "busy", "idle", "new", "over"]);
  expect(standingOf(state("lost", { failed: 1 }))).toBe("lost");
});

test("the busiest is shown first, and of equal ones the first by name", () => {
  expect(busiest(new Map())).toBeNull();
  expect(busiest(new Map([["b", state("live")], ["a", state("live")]]))).toBe("a");
  expect(busiest(new Map([["a", null], ["b", state("live", { queued: 2 })], ["c", state("live", { processing: 1 })]]))).toBe("b");
});

test("progress is over all files, and none is no division by none", () => {
  expect(progressOf(counts())).toEqual({ total: 0, ended: 0, open: 0, part: 0 });
  expect(progressOf(counts({ queued: 1, processing: 1, completed: 1, failed: 1 }))).toEqual({ total: 4, ended: 2, open: 2, part: 0.5 });
});

test("stages are counted of what runs, those of the contract always, others as they come", () => {
  const file = (id: string, stage?: string) => ({ id, name: id, state: "processing" as const, seq: 1, attempt: 1, ...(stage && { processing_stage: stage }) });
  const files = [file("a", "embedding"), file("b", "embedding"), file("c", "redaction"), file("d"), { ...file("e", "chunking"), state: "failed" as const }];
  expect(countStages(files)).toEqual([
    { stage: "extraction", amount: 0 }, { stage: "chunking", amount: 0 }, { stage: "embedding", amount: 2 }, { stage: "storing", amount: 0 },
    { stage: "redaction", amount: 1 }, { stage: "starting", amount: 1 },
  ]);
});
