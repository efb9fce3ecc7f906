// Which files are listed, and in which order.
//
// What may come in: the files of a snapshot, by `seq`, and those that the hub's index gave besides. What it never does:
// change them, or list one twice.
import type { FileState, FileStatus } from "@ragpulse/client";
import type { Filter } from "./address.js";

/** Whether nothing more happens to it by itself. */
export const isEnded = (state: FileState): boolean => state !== "queued" && state !== "processing";

// A file's object stays the same as long as it does not change, so its text is put together once.
const searched = new WeakMap<FileStatus, string>();

/** Whether a file has the text, which is in lower case, in its name, path, id or cause. */
export function matches(file: FileStatus, text: string): boolean {
  let all = searched.get(file);
  if (all === undefined) {
    const { error, reason, message, processing_stage: stage } = file;
    all = [file.name, file.path, file.id, error?.type, error?.code, error?.message, error?.stage, reason, message, stage]
      .filter(Boolean)
      .join("\n")
      .toLowerCase();
    searched.set(file, all);
  }
  return all.includes(text);
}

/** What runs, then what ended, the newest first, then what waits, then what only the index knows, as it gave them. */
export function selectFiles(
  files: readonly FileStatus[],
  filter: Filter,
  query: string,
  beyond: readonly FileStatus[] = [],
): FileStatus[] {
  const text = query.trim().toLowerCase();
  const fits = (file: FileStatus): boolean => (filter === "all" || file.state === filter) && (!text || matches(file, text));
  const running: FileStatus[] = [];
  const ended: FileStatus[] = [];
  const waiting: FileStatus[] = [];
  for (const file of files) {
    if (!fits(file)) continue;
    (file.state === "processing" ? running : file.state === "queued" ? waiting : ended).push(file);
  }
  const listed = [...running, ...ended.reverse(), ...waiting];
  if (beyond.length === 0) return listed;
  const known = new Set(files.map(({ id }) => id));
  return [...listed, ...beyond.filter((file) => !known.has(file.id) && fits(file))];
}
