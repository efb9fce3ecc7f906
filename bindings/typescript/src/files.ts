// The files that a state lists, found by id, in the order of `seq`.
//
// What may come in: any files, in any order. What it never does: change a file in place, so that a file that is the same
// object is the same file, which is what the store's snapshots and whoever draws them rely on.
import type { FileState, FileStatus, Limits } from "./generated/index.js";

/** Strings in the order of their code points, as every other language sorts them; `<` compares UTF-16 units. */
export function byCodePoint(a: string, b: string): number {
  const others = [...b];
  let index = 0;
  for (const own of a) {
    const other = others[index++];
    if (own !== other) return own.codePointAt(0)! - (other?.codePointAt(0) ?? -1);
  }
  return index - others.length;
}

const bySeq = (a: FileStatus, b: FileStatus): number => a.seq - b.seq || byCodePoint(a.id, b.id);

/** The listed files. */
export class FileTable {
  // One map per group that is limited by itself. Insertion order is the order of `seq`: an event's is the highest yet.
  readonly #queued = new Map<string, FileStatus>();
  readonly #processing = new Map<string, FileStatus>();
  readonly #ended = new Map<string, FileStatus>();
  readonly #groups = [this.#queued, this.#processing, this.#ended];

  constructor(files: Iterable<FileStatus> = []) {
    for (const file of [...files].sort(bySeq)) this.insert(file);
  }

  #of(state: FileState): Map<string, FileStatus> {
    return state === "queued" ? this.#queued : state === "processing" ? this.#processing : this.#ended;
  }

  /** The file of this id. */
  get(id: string): FileStatus | undefined {
    return this.#groups.find((group) => group.has(id))?.get(id);
  }

  /** Every file, by `seq`. */
  inOrder(): FileStatus[] {
    return this.#groups.flatMap((group) => [...group.values()]).sort(bySeq);
  }

  /** Puts a file at the end of its group. */
  insert(file: FileStatus): void {
    this.remove(file.id);
    this.replace(file);
  }

  /** Puts what is now known of a file in the place it has. Its state and `seq` must be the same. */
  replace(file: FileStatus): void {
    this.#of(file.state).set(file.id, file);
  }

  /** Takes a file out. */
  remove(id: string): void {
    for (const group of this.#groups) group.delete(id);
  }

  /** Takes out what is beyond the limits: the newest open files, the oldest ended ones. */
  evict({ open, ended }: Limits): void {
    for (const group of this.#groups) {
      const isEnded = group === this.#ended;
      const excess = group.size - (isEnded ? ended : open);
      if (excess <= 0) continue;
      const ids = [...group.keys()];
      for (const id of isEnded ? ids.slice(0, excess) : ids.slice(-excess)) group.delete(id);
    }
  }
}
