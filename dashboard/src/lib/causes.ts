// Failures, grouped by what they have in common.
//
// What may come in: the files that a state lists. What it never does: count what the state does not list; who shows the
// groups says so.
import type { FileStatus } from "@ragpulse/client";
import { kindOf } from "./text.js";

/** Failures of one kind. */
export interface CauseGroup {
  /** The kind: the type of the error and the stage. */
  readonly kind: string;
  /** What to search for to see them: the type of the error. */
  readonly query: string;
  /** How many files. */
  readonly amount: number;
  /** How many of them a reporter would try again. */
  readonly retryable: number;
  /** The one that failed last. */
  readonly last: FileStatus;
  /** How many different messages there are. */
  readonly messages: number;
}

/** The failed files in groups, the largest first; of equal ones by kind, so that they stand still. */
export function groupCauses(files: readonly FileStatus[]): CauseGroup[] {
  const groups = new Map<string, { amount: number; retryable: number; last: FileStatus; messages: Set<string>; query: string }>();
  for (const file of files) {
    if (file.state !== "failed" || !file.error) continue;
    const kind = kindOf(file.error);
    const group = groups.get(kind);
    if (!group) {
      const retryable = file.error.retryable ? 1 : 0;
      groups.set(kind, { amount: 1, retryable, last: file, messages: new Set([file.error.message]), query: file.error.type });
      continue;
    }
    group.amount += 1;
    group.retryable += file.error.retryable ? 1 : 0;
    group.messages.add(file.error.message);
    if (file.seq > group.last.seq) group.last = file;
  }
  return [...groups]
    .map(([kind, { messages, ...group }]) => ({ kind, messages: messages.size, ...group }))
    .sort((a, b) => b.amount - a.amount || (a.kind < b.kind ? -1 : 1));
}
