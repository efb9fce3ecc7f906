// A list of files, one row each, of which only rows that changed are written; and the time from a report to the frame in
// which its row had changed.
//
// What may come in: snapshots, and events that say in `sent_at` when they were reported. What it never does: count an
// event as painted before the frame after the change has begun.

/** A list of files. */
export class List {
  /** `{seq, ms}` of each event that had a `sent_at` and was painted. */
  painted = [];
  /** When the first state was painted. */
  first = null;
  #root;
  #now;
  #rows = new Map();
  #files = new Map();
  #waiting = [];

  constructor(root, now) {
    this.#root = root;
    this.#now = now;
  }

  /** An event came; it will be painted. */
  expect({ data }) {
    if (typeof data.sent_at === "number") this.#waiting.push({ seq: data.seq, sent: data.sent_at });
  }

  get rows() {
    return this.#rows.size;
  }

  /** Draws what has changed. */
  show(pipeline, store) {
    const snapshot = store.getSnapshot(pipeline);
    if (!snapshot) return;
    const gone = new Set(this.#rows.keys());
    for (const file of snapshot.files) {
      gone.delete(file.id);
      // The store's promise: the same object is the same file.
      if (this.#files.get(file.id) === file) continue;
      this.#files.set(file.id, file);
      let row = this.#rows.get(file.id);
      if (!row) {
        row = document.createElement("div");
        row.className = "row";
        row.append(document.createElement("b"), document.createElement("span"), document.createElement("i"));
        this.#rows.set(file.id, row);
        this.#root.append(row);
      }
      const [name, state, progress] = row.children;
      name.textContent = file.name;
      state.textContent = file.state;
      progress.textContent = file.progress === undefined ? "" : `${(file.progress * 100).toFixed(1)} % ${file.processing_stage ?? ""}`;
    }
    for (const id of gone) {
      this.#rows.get(id).remove();
      this.#rows.delete(id);
      this.#files.delete(id);
    }
    const shown = this.#waiting.filter(({ seq }) => seq <= snapshot.seq);
    this.#waiting = this.#waiting.filter(({ seq }) => seq > snapshot.seq);
    // The next frame begins when the one with the change was handed over.
    requestAnimationFrame(() => {
      const at = this.#now();
      this.first ??= at;
      for (const { seq, sent } of shown) this.painted.push({ seq, ms: at - sent });
    });
  }
}
