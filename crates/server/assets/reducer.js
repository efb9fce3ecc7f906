// The state of a pipeline, and the one rule by which messages change it: the JavaScript counterpart of the crate
// `ragpulse-protocol` (modules `reduce`, `session`, `status`). No I/O, no clock, no randomness.
//
// tests/fixtures holds what this and every other language's reducer must give.

/** How many open (queued; processing) and ended files a state lists unless a snapshot says otherwise. */
export const DEFAULT_LIMITS = Object.freeze({ open: 1000, ended: 200 });
/** How many keys of its own a pipeline may bring in by `status:update`. */
export const MAX_EXTRA_KEYS = 64;
/** Where a file may stand. */
export const FILE_STATES = Object.freeze(["queued", "processing", "completed", "failed", "skipped", "cancelled"]);

const STATUS_FIELDS = [
  "pipeline_id", "pipeline_type", "epoch", "seq", "timestamp", "status", "liveness", "last_activity", "started_at",
  "shutdown_at", "offline_reason", "check_interval", "watch_location", "lease_seconds", "is_checking",
  "last_check_time", "next_check_time", "total_processed", "total_failed", "counts", "files", "limits", "reason",
];
const FILE_FIELDS = [
  "id", "name", "state", "seq", "attempt", "path", "size", "mime_type", "change", "queue_position", "queued_at",
  "started_at", "completed_at", "processing_stage", "estimated_duration", "progress", "current", "total", "unit",
  "eta_seconds", "results", "error", "warnings", "reason", "duplicate_of", "message", "max_attempts", "retry_at",
  "requested_by",
];
const STATUS_FIELD_SET = new Set(STATUS_FIELDS);
const FILE_FIELD_SET = new Set(FILE_FIELDS);

// ---------------------------------------------------------------------------------------------- files

/** Strings in the order of their code points, as every other language sorts them; `<` compares UTF-16 units. */
function byCodePoint(a, b) {
  const left = a[Symbol.iterator]();
  const right = b[Symbol.iterator]();
  for (;;) {
    const x = left.next();
    const y = right.next();
    if (x.done || y.done) return (x.done ? 0 : 1) - (y.done ? 0 : 1);
    const difference = x.value.codePointAt(0) - y.value.codePointAt(0);
    if (difference !== 0) return difference;
  }
}

const bySeq = (a, b) => a.seq - b.seq || byCodePoint(a.id, b.id);

/** The listed files, found by id. A file is never changed in place: a new object takes the old one's place. */
export class FileTable {
  // One map per group that is limited by itself. Insertion order is the order of `seq`: an event's is the highest yet.
  #groups = { queued: new Map(), processing: new Map(), ended: new Map() };

  constructor(files = []) {
    for (const file of [...files].sort(bySeq)) this.insert(file);
  }

  static #groupOf(state) {
    return state === "queued" || state === "processing" ? state : "ended";
  }

  get size() {
    return this.#groups.queued.size + this.#groups.processing.size + this.#groups.ended.size;
  }

  get(id) {
    return this.#groups.queued.get(id) ?? this.#groups.processing.get(id) ?? this.#groups.ended.get(id);
  }

  /** Every file, in no order. */
  *[Symbol.iterator]() {
    for (const group of Object.values(this.#groups)) yield* group.values();
  }

  /** The files of one group (`queued`, `processing`, `ended`), the oldest first. */
  group(name) {
    return this.#groups[name].values();
  }

  inOrder() {
    return [...this].sort(bySeq);
  }

  insert(file) {
    this.remove(file.id);
    this.#groups[FileTable.#groupOf(file.state)].set(file.id, file);
  }

  /** Puts what is now known of a file in the place it has. Its state and `seq` must be the same. */
  replace(file) {
    this.#groups[FileTable.#groupOf(file.state)].set(file.id, file);
  }

  remove(id) {
    for (const group of Object.values(this.#groups)) if (group.delete(id)) return;
  }

  /** Takes out what is beyond the limits: the newest open files, the oldest ended ones. */
  evict(limits) {
    const { queued, processing, ended } = this.#groups;
    for (const group of [queued, processing]) {
      if (group.size > limits.open) for (const id of [...group.keys()].slice(limits.open)) group.delete(id);
    }
    for (const id of ended.keys()) {
      if (ended.size <= limits.ended) break;
      ended.delete(id);
    }
  }
}

/** The fields that are known, in their order, and the others beside them, so that no foreign name becomes a member. */
function split(json, fields, known) {
  const value = {};
  for (const field of fields) if (json[field] !== undefined && json[field] !== null) value[field] = json[field];
  value.extra = new Map(Object.entries(json).filter(([key]) => !known.has(key)));
  return value;
}

function join(value, fields) {
  const json = {};
  for (const field of fields) if (value[field] !== undefined) json[field] = value[field];
  for (const [key, own] of value.extra) {
    // Not an assignment: the key may be `__proto__`.
    Object.defineProperty(json, key, { value: own, enumerable: true, configurable: true, writable: true });
  }
  return json;
}

const fileToJson = (file) => join(file, FILE_FIELDS);

// ---------------------------------------------------------------------------------------------- state

/** The state before the first event of a sequence. */
export function opening({ pipeline_id, pipeline_type, epoch, timestamp }) {
  return {
    pipeline_id,
    pipeline_type,
    epoch,
    seq: 0,
    timestamp,
    status: "online",
    liveness: "live",
    last_activity: timestamp,
    total_processed: 0,
    total_failed: 0,
    counts: { queued: 0, processing: 0, completed: 0, failed: 0, skipped: 0, cancelled: 0 },
    files: new FileTable(),
    limits: DEFAULT_LIMITS,
    extra: new Map(),
  };
}

/** A state from the payload of `pipeline:status`, which is not changed. */
export function fromStatus(json) {
  const state = split(json, STATUS_FIELDS, STATUS_FIELD_SET);
  state.counts = { ...state.counts };
  state.files = new FileTable(json.files.map((file) => split(file, FILE_FIELDS, FILE_FIELD_SET)));
  return state;
}

/** The payload of `pipeline:status` for a state. */
export function toStatus(state) {
  const json = join(state, STATUS_FIELDS);
  json.counts = { ...state.counts };
  json.limits = { ...state.limits };
  json.files = state.files.inOrder().map(fileToJson);
  return json;
}

// ---------------------------------------------------------------------------------------------- reducer

const INTERRUPTED = "Interrupted";
const isInterruption = (event, data) => event === "file:failed" && data.error.type === INTERRUPTED;

/** Where a listed file stands, in the words of `previous_state`, which knows interrupted files. */
const asPrevious = (file) => (file.state === "failed" && file.error?.type === INTERRUPTED ? "interrupted" : file.state);

/** Folds one event into a state, and gives what did not fit: `[{kind, seq, subject}]`. */
export function apply(state, { event, data }) {
  const anomalies = [];
  const anomaly = (kind, subject) => anomalies.push({ kind, seq: data.seq, subject });

  state.seq = data.seq;
  state.epoch = data.epoch;
  state.timestamp = data.timestamp;
  state.last_activity = data.received_at;
  delete state.reason;
  // Any event is a sign of life, but for the one that a hub makes because there was none.
  if (state.liveness === "late" && !isInterruption(event, data)) state.liveness = "live";

  if (Object.hasOwn(REDUCERS, event)) REDUCERS[event](state, data, anomaly);
  state.files.evict(state.limits);
  return anomalies;
}

const set = (target, key, value) => {
  if (value === undefined || value === null) delete target[key];
  else target[key] = value;
};
const setIfGiven = (target, source, ...keys) => {
  for (const key of keys) if (source[key] !== undefined && source[key] !== null) target[key] = source[key];
};
const lower = (counts, key) => {
  if (counts[key] > 0) counts[key] -= 1;
};

/** Where a file stood: by the list, else by what the hub says. */
const known = (state, data) => {
  const listed = state.files.get(data.file.id);
  return listed ? asPrevious(listed) : data.previous_state ?? undefined;
};

function move(state, from, to) {
  if (from !== undefined) lower(state.counts, from === "interrupted" ? "failed" : from);
  state.counts[to] += 1;
}

function fresh(data, state, before, inherited) {
  const next = { id: data.file.id, name: data.file.name, state, seq: data.seq, attempt: 1, extra: new Map() };
  if (before) {
    setIfGiven(next, before, "path", "size", "mime_type", "max_attempts", ...inherited);
    next.extra = before.extra;
  }
  setIfGiven(next, data.file, "path", "size", "mime_type");
  return next;
}

/** A file becomes queued or is processed. What waited goes on with its attempt; anything else begins a new one. */
function open(state, data, to, attempt) {
  const before = state.files.get(data.file.id);
  move(state, known(state, data), to);
  const waited = before?.state === "queued";
  const next = fresh(data, to, before, waited ? ["error", "change", "queued_at"] : ["error"]);
  next.attempt = attempt ?? (before ? before.attempt + (waited ? 0 : 1) : 1);
  return next;
}

/** A file ends. Gives nothing when it had ended before, unless that was for its reporter's silence. */
function close(state, data, to, anomaly) {
  const before = state.files.get(data.file.id);
  const from = known(state, data);
  switch (from) {
    case "queued":
    case "processing":
      break;
    case undefined:
      // Skipping is how a file that needs no work is first heard of.
      if (to !== "skipped") anomaly("never_opened", data.file.id);
      break;
    case "interrupted":
      if (!(to === "failed" && data.error.type === INTERRUPTED)) {
        lower(state, "total_failed");
        break;
      }
    // falls through: a second interruption says nothing new
    default:
      anomaly("second_end", data.file.id);
      return undefined;
  }
  move(state, from, to);
  const next = fresh(data, to, before, ["attempt", "change", "queued_at", "started_at"]);
  setIfGiven(next, data.file, "started_at");
  next.completed_at = data.file.completed_at ?? data.timestamp;
  return next;
}

const REDUCERS = {
  "pipeline:online"(state, data) {
    state.pipeline_type = data.pipeline_type;
    state.status = "online";
    state.liveness = "live";
    state.started_at = data.started_at;
    delete state.shutdown_at;
    delete state.offline_reason;
    setIfGiven(state, data, "check_interval", "watch_location", "lease_seconds");
  },

  "pipeline:offline"(state, data) {
    state.status = "offline";
    state.liveness = data.reason === "timeout" ? "lost" : "offline";
    state.shutdown_at = data.shutdown_at;
    state.offline_reason = data.reason;
    if (state.is_checking !== undefined) state.is_checking = false;
    delete state.next_check_time;
  },

  // Whoever keeps a session drops the state after this; see Session.
  "pipeline:removed"(state) {
    state.status = "removed";
    state.liveness = "offline";
    state.files = new FileTable();
    for (const key of FILE_STATES) state.counts[key] = 0;
  },

  "status:update"(state, data, anomaly) {
    // In order of the keys, because the order decides which ones find room.
    for (const key of Object.keys(data.changes).sort(byCodePoint)) {
      const kind = change(state, key, data.changes[key]);
      if (kind) anomaly(kind, key);
    }
  },

  "file:queued"(state, data) {
    const next = open(state, data, "queued");
    set(next, "change", data.change);
    set(next, "queue_position", data.queue_position);
    next.queued_at = data.timestamp;
    state.files.insert(next);
  },

  "file:processing"(state, data) {
    const next = open(state, data, "processing", data.attempt);
    next.started_at = data.file.started_at ?? data.timestamp;
    setIfGiven(next, data, "processing_stage", "estimated_duration");
    delete next.error;
    state.files.insert(next);
  },

  "file:retrying"(state, data) {
    const before = state.files.get(data.file.id);
    const next = open(state, data, "queued", data.attempt ?? (before ? before.attempt + 1 : undefined));
    next.queued_at = data.timestamp;
    set(next, "max_attempts", data.max_attempts);
    set(next, "retry_at", data.retry_at);
    state.files.insert(next);
  },

  "file:progress"(state, data, anomaly) {
    const before = state.files.get(data.file.id);
    if (before?.state !== "queued" && before?.state !== "processing") {
      anomaly("progress_not_open", data.file.id);
      return;
    }
    const next = { ...before, progress: data.progress };
    setIfGiven(next, data, "processing_stage");
    // These speak of this stage and moment, so what is not said now is not known now.
    for (const key of ["current", "total", "unit", "eta_seconds"]) set(next, key, data[key]);
    state.files.replace(next);
  },

  "file:completed"(state, data, anomaly) {
    const next = close(state, data, "completed", anomaly);
    if (!next) return;
    next.results = data.results;
    setIfGiven(next, data, "warnings");
    state.total_processed += 1;
    state.files.insert(next);
  },

  "file:failed"(state, data, anomaly) {
    const next = close(state, data, "failed", anomaly);
    if (!next) return;
    next.error = data.error;
    setIfGiven(next, data, "warnings");
    state.total_failed += 1;
    state.files.insert(next);
  },

  "file:skipped"(state, data, anomaly) {
    const next = close(state, data, "skipped", anomaly);
    if (!next) return;
    setIfGiven(next, data, "reason", "duplicate_of", "message");
    state.files.insert(next);
  },

  "file:cancelled"(state, data, anomaly) {
    const next = close(state, data, "cancelled", anomaly);
    if (!next) return;
    setIfGiven(next, data, "requested_by");
    state.files.insert(next);
  },

  "file:deleted"(state, data) {
    const from = known(state, data);
    if (from !== undefined) lower(state.counts, from === "interrupted" ? "failed" : from);
    state.files.remove(data.file.id);
  },
};

const RESERVED = new Set([
  "counts", "pipeline_id", "pipeline_type", "epoch", "seq", "timestamp", "received_at", "liveness", "last_activity",
  "shutdown_at", "offline_reason", "lease_seconds", "limits", "reason", "seconds_until_next_check",
]);
const text = (value) => (typeof value === "string" ? value : undefined);
/** The keys of `status:update` that a state knows: each reads its value, or gives `undefined` for one of another type. */
const SETTINGS = new Map([
  ["status", text],
  ["check_interval", (value) => (typeof value === "number" && value >= 0 ? value : undefined)],
  ["is_checking", (value) => (typeof value === "boolean" ? value : undefined)],
  ["watch_location", text],
  ["started_at", utc],
  ["last_check_time", utc],
  ["next_check_time", utc],
]);

/** Sets one key of the pipeline's own status; gives the kind of anomaly where it may not be. */
function change(state, key, value) {
  if (key.startsWith("files") || key.startsWith("total_") || RESERVED.has(key)) return "reserved_key";
  const read = SETTINGS.get(key);
  if (read) {
    if (value === null && key !== "status") {
      delete state[key];
      return undefined;
    }
    const accepted = read(value);
    if (accepted === undefined) return "bad_value";
    state[key] = accepted;
  } else if (value === null) {
    state.extra.delete(key);
  } else if (state.extra.size >= MAX_EXTRA_KEYS && !state.extra.has(key)) {
    return "too_many_keys";
  } else {
    state.extra.set(key, value);
  }
  return undefined;
}

const RFC3339 = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:)(\d\d)(\.\d{1,9})?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))$/;

/** A time with an offset as the contract writes it: UTC, milliseconds. `undefined` for anything else. */
export function utc(value) {
  const parts = typeof value === "string" ? RFC3339.exec(value) : null;
  if (!parts) return undefined;
  const [, day, minutes, seconds, fraction = ".0", sign, hours = "0", offset = "0"] = parts;
  const local = `${day}T${minutes}${seconds === "60" ? "59" : seconds}${fraction.slice(0, 4).padEnd(4, "0")}Z`;
  const time = new Date(local);
  // Days that do not exist roll over into the next month; the text then reads differently.
  if (Number.isNaN(time.getTime()) || time.toISOString() !== local) return undefined;
  const shift = (Number(hours) * 60 + Number(offset)) * 60_000;
  const millis = time.getTime() + (sign === "-" ? shift : -shift);
  // 0000-01-01 and 9999-12-31 less the widest offset: the years that can be written.
  return millis >= -62_167_219_200_000 && millis <= 253_402_207_200_000 ? new Date(millis).toISOString() : undefined;
}

// ---------------------------------------------------------------------------------------------- session

/**
 * The apply rule. `at` is the position of the state (`{epoch, seq}`), or null where there is none.
 * Gives `apply`, `replace`, `ignore` or `resync`.
 */
export function verdict(at, { event, data }) {
  switch (event) {
    case "subscription:ended":
    case "hub:closing":
      return "ignore";
    case "heartbeat":
      // No state is a state at 0 of any epoch.
      return (!at || data.epoch === at.epoch) && data.seq > (at ? at.seq : 0) ? "resync" : "ignore";
    case "pipeline:status": {
      // One that is not newer answers a question asked before the state came by another way.
      const stale = at && data.epoch === at.epoch && data.seq <= at.seq;
      return stale && data.reason !== "ahead" ? "ignore" : "replace";
    }
    default:
      if (!at) return data.seq === 1 ? "apply" : "resync";
      if (data.epoch !== at.epoch) return "resync";
      if (data.seq <= at.seq) return "ignore";
      return data.seq === at.seq + 1 ? "apply" : "resync";
  }
}

/** One pipeline as one subscriber sees it: its state, kept by the rule. */
export class Session {
  /** The state, or null. */
  state = null;
  #resyncing = false;

  /** The position to resume from, or null. */
  get cursor() {
    return this.state && { epoch: this.state.epoch, seq: this.state.seq };
  }

  /** Whether a resync was asked for and has not been answered. */
  get isResyncing() {
    return this.#resyncing;
  }

  /** The answer to a resync is here, or the connection on which it was asked for is gone. */
  resynced() {
    this.#resyncing = false;
  }

  /** Drops the state: the hub does not know the pipeline (any more). */
  reset() {
    this.state = null;
    this.#resyncing = false;
  }

  /** Does with a message what the rule says. `resync` is told once, until it is answered; then it is `ignore`. */
  handle(message) {
    const said = verdict(this.cursor, message);
    const step = { verdict: said, anomalies: [] };
    if (said === "apply") {
      this.state ??= opening(message.data);
      step.anomalies = apply(this.state, message);
      if (message.event === "pipeline:removed") this.state = null;
    } else if (said === "replace") {
      this.state = fromStatus(message.data);
      delete this.state.reason;
      this.#resyncing = false;
    } else if (said === "resync") {
      if (this.#resyncing) step.verdict = "ignore";
      this.#resyncing = true;
    } else if (message.event === "heartbeat" && this.state) {
      // Liveness changes by the passing of time, which no event tells.
      const { epoch, seq, liveness } = message.data;
      if (epoch === this.state.epoch && seq === this.state.seq) this.state.liveness = liveness;
    }
    return step;
  }
}
