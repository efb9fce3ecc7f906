// Pipelines as they are listed: what is wrong with one first, and how far each one is.
//
// What may come in: states, or null for one whose state has not come yet.
import type { Counts, PipelineStatus } from "@ragpulse/client";

/** What stands out about a pipeline, from the worst. */
export type Standing = "lost" | "late" | "failing" | "working" | "idle" | "unknown" | "offline";

const ORDER: readonly Standing[] = ["lost", "late", "failing", "working", "idle", "unknown", "offline"];

/** How many files there are, how many came to an end, and which part that is. */
export function progressOf(counts: Counts): { total: number; ended: number; open: number; part: number } {
  const open = counts.queued + counts.processing;
  const ended = counts.completed + counts.failed + counts.skipped + counts.cancelled;
  const total = open + ended;
  return { total, ended, open, part: total ? ended / total : 0 };
}

/** What stands out. A pipeline that said goodbye is no problem, whatever failed in it before. */
export function standingOf(state: PipelineStatus | null): Standing {
  if (!state) return "unknown";
  if (state.liveness === "lost") return "lost";
  if (state.liveness === "offline") return "offline";
  if (state.liveness === "late") return "late";
  if (state.counts.failed > 0) return "failing";
  return progressOf(state.counts).open > 0 ? "working" : "idle";
}

/** The ids, what is wrong first, and of equal ones by id, so that the list stands still. */
export function orderPipelines(states: ReadonlyMap<string, PipelineStatus | null>): string[] {
  const rank = new Map([...states].map(([id, state]) => [id, ORDER.indexOf(standingOf(state))]));
  return [...states.keys()].sort((a, b) => (rank.get(a) ?? 0) - (rank.get(b) ?? 0) || (a < b ? -1 : 1));
}

/** The pipeline to show when none was chosen: where most is open. Null while there is none. */
export function busiest(states: ReadonlyMap<string, PipelineStatus | null>): string | null {
  const open = (state: PipelineStatus | null): number => (state ? progressOf(state.counts).open : -1);
  const [first] = [...states].sort(([a, one], [b, other]) => open(other) - open(one) || (a < b ? -1 : 1));
  return first?.[0] ?? null;
}

/** The stages that the contract names, in their order; a pipeline may have others. */
export const STAGES: readonly string[] = ["extraction", "chunking", "embedding", "storing"];

/** How many of the listed running files are in each stage: the four of the contract, then others as they come. */
export function countStages(files: PipelineStatus["files"]): { stage: string; amount: number }[] {
  const amounts = new Map(STAGES.map((stage) => [stage, 0]));
  for (const file of files) {
    if (file.state !== "processing") continue;
    const stage = file.processing_stage ?? "starting";
    amounts.set(stage, (amounts.get(stage) ?? 0) + 1);
  }
  return [...amounts].map(([stage, amount]) => ({ stage, amount }));
}
