// The files that a state lists, found by id, in the order of `seq`.
//
// What may come in: any files, in any order. What it never does: change a file in place, so that a file that is the same
// object is the same file, which is what the store's snapshots and whoever draws them rely on.
import type { FileState, FileStatus, Limits } from "./generated/index.js";

/** A listed file; what a later version says of it is in `extra`, so that no foreign name becomes a member. */
export type FileEntry = FileStatus & { extra: ReadonlyMap<string, unknown> };

type Group = "queued" | "processing" | "ended";

/** Strings in the order of their code points, as every other language sorts them; `<` compares UTF-16 units. */
export function byCodePoint(a: string, b: string): number {
  const left = a[Symbol.iterator]();
  const right = b[Symbol.iterator]();
  for (;;) {
    const x = left.next();
    const y = right.next();
    if (x.done || y.done) return (x.done ? 0 : 1) - (y.done ? 0 : 1);
    const difference = (x.value.codePointAt(0) ?? 0) - (y.value.codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
}

const bySeq = (a: FileEntry, b: FileEntry): number => a.seq - b.seq || byCodePoint(a.id, b.id);

const groupOf = (state: FileState): Group => (state === "queued" || state === "processing" ? state : "ended");

/** The listed files. */
export class FileTable {
  // One map per group that is limited by itself. Insertion order is the order of `seq`: an event's is the highest yet.
  readonly #groups: Record<Group, Map<string, FileEntry>> = {
    queued: new Map(),
    processing: new Map(),
    ended: new Map(),
  };

  constructor(files: Iterable<FileEntry> = []) {
    for (const file of [...files].sort(bySeq)) this.insert(file);
  }

  /** How many there are. */
  get size(): number {
    return this.#groups.queued.size + this.#groups.processing.size + this.#groups.ended.size;
  }

  /** The file of this id. */
  get(id: string): FileEntry | undefined {
    return this.#groups.queued.get(id) ?? this.#groups.processing.get(id) ?? this.#groups.ended.get(id);
  }

  /** Every file, by `seq`. */
  inOrder(): FileEntry[] {
    return Object.values(this.#groups)
      .flatMap((group) => [...group.values()])
      .sort(bySeq);
  }

  /** Puts a file at the end of its group. */
  insert(file: FileEntry): void {
    this.remove(file.id);
    this.#groups[groupOf(file.state)].set(file.id, file);
  }

  /** Puts what is now known of a file in the place it has. Its state and `seq` must be the same. */
  replace(file: FileEntry): void {
    this.#groups[groupOf(file.state)].set(file.id, file);
  }

  /** Takes a file out. */
  remove(id: string): void {
    for (const group of Object.values(this.#groups)) if (group.delete(id)) return;
  }

  /** Takes out what is beyond the limits: the newest open files, the oldest ended ones. */
  evict(limits: Limits): void {
    const { queued, processing, ended } = this.#groups;
    for (const group of [queued, processing]) {
      if (group.size <= limits.open) continue;
      for (const id of [...group.keys()].slice(limits.open)) group.delete(id);
    }
    for (const id of ended.keys()) {
      if (ended.size <= limits.ended) break;
      ended.delete(id);
    }
  }
}
