// What is drawn: at most once a frame, and only what changed. Whatever comes from outside becomes text nodes.

import { lookUp } from "./connection.js";
import { FILE_STATES } from "./reducer.js";
import { ago, bytes, clockSpan, count, dateAndTime, percent, quantity, rate, span, timeOfDay, words } from "./format.js";

const STAGES = ["extraction", "chunking", "embedding", "storing"];
const NAMES = {
  all: "All", queued: "Queued", processing: "Processing", completed: "Completed", failed: "Failed", skipped: "Skipped",
  cancelled: "Cancelled",
};
const LIVENESS = { live: "Live", late: "Late", lost: "Lost", offline: "Offline" };
const TRANSPORTS = {
  connecting: "Connecting", websocket: "WebSocket", polling: "Polling", offline: "Hub not reached",
};
/** Rows kept ready above and below what is seen. */
const OVERSCAN = 8;
const CAUSES = 4;

const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

function badge(state) {
  const element = make("span", "badge", icon(state), NAMES[state] ?? state);
  element.dataset.state = state;
  return element;
}

const setText = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};
const setAttribute = (element, name, value) => {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
};
/** Control and direction marks would let a name rearrange or break the line that it stands in. */
const shown = (text) => text.replace(/[\t\n\r]+/g, " ").replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\uFFFD");
const lines = (text) => text.split("\n").map(shown).join("\n");
const isEnded = (state) => state !== "queued" && state !== "processing";
/** Where a file lies, without its name, which stands above it. */
function placeOf({ name, path }) {
  if (!path || path === name) return "";
  return path.endsWith(`/${name}`) ? path.slice(0, -name.length - 1) : path;
}
const causeOf = (error) => `${error.type}${error.stage ? ` in ${error.stage}` : ""}`;

/** Elements by key in the order of `keys`; `create(key)` makes what is missing. Elements that stay are not touched. */
function keyed(parent, pool, keys, create) {
  const wanted = new Set(keys);
  for (const [key, element] of pool) {
    if (!wanted.has(key)) {
      element.remove();
      pool.delete(key);
    }
  }
  let place = parent.firstElementChild;
  for (const key of keys) {
    let element = pool.get(key);
    if (!element) {
      element = create(key);
      pool.set(key, element);
    }
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
}

/** The stacked bar of a state's counts. */
function stackedBar(element, counts) {
  if (element.childElementCount === 0) {
    for (const state of ["completed", "skipped", "cancelled", "failed", "processing", "queued"]) {
      const part = make("i");
      part.dataset.state = state;
      element.append(part);
    }
  }
  for (const part of element.children) {
    const value = String(counts?.[part.dataset.state] ?? 0);
    if (part.dataset.value === value) continue;
    part.dataset.value = value;
    part.style.flexGrow = value;
    part.classList.toggle("some", value !== "0");
    part.hidden = value === "0";
  }
}

/** The bar of a file's stages: those behind it full, the one it is in as far as it is. */
function stageBar(element, file) {
  const place = STAGES.indexOf(file.processing_stage);
  const parts = place < 0 ? 1 : STAGES.length;
  while (element.childElementCount > parts) element.lastElementChild.remove();
  while (element.childElementCount < parts) element.append(make("i"));
  [...element.children].forEach((part, index) => {
    const running = place < 0 || index === place;
    part.classList.toggle("done", index < place);
    part.classList.toggle("unsure", running && file.progress === undefined);
    part.style.setProperty("--part", running ? String(file.progress ?? 0) : "0");
  });
}

const SEARCHED = new WeakMap();
function matches(file, query) {
  let text = SEARCHED.get(file);
  if (text === undefined) {
    const { error, reason, message } = file;
    text = [file.name, file.path, file.id, error?.type, error?.message, error?.stage, reason, message]
      .filter(Boolean).join("\n").toLowerCase();
    SEARCHED.set(file, text);
  }
  return text.includes(query);
}

export class View {
  #hub;
  #meters;
  #frame = 0;
  #selected = null;
  #filter = "all";
  #query = "";
  #pipelineItems = new Map();
  #causeItems = new Map();
  #rows = new Map();
  #files = [];
  #rowHeight = 0;
  #active = null;
  #open = null;
  #found = null;
  #looking = null;
  #announced = { transport: null, failed: new Map(), at: 0 };

  constructor(hub, meters) {
    this.#hub = hub;
    this.#meters = meters;
    this.#readAddress();
    this.#buildFilters();
    this.#listen();
    setInterval(() => this.invalidate(), 1000);
    this.invalidate();
  }

  /** Something changed: draw at the next frame. */
  invalidate() {
    if (this.#frame === 0) {
      this.#frame = requestAnimationFrame(() => {
        this.#frame = 0;
        this.#draw();
      });
    }
  }

  // ------------------------------------------------------------------------------------------ input

  #readAddress() {
    const asked = new URLSearchParams(location.hash.slice(1));
    this.#selected = asked.get("pipeline");
    const state = asked.get("state");
    this.#filter = FILE_STATES.includes(state) ? state : "all";
    this.#query = (asked.get("q") ?? "").slice(0, 200);
    byId("search").value = this.#query;
  }

  #writeAddress() {
    const address = new URLSearchParams();
    if (this.#selected) address.set("pipeline", this.#selected);
    if (this.#filter !== "all") address.set("state", this.#filter);
    if (this.#query) address.set("q", this.#query);
    history.replaceState(null, "", `#${address}`);
  }

  #buildFilters() {
    for (const state of ["all", "processing", "queued", "completed", "failed", "skipped", "cancelled"]) {
      const button = make("button", "filter", icon(state), make("span", "", NAMES[state]), make("b"));
      button.type = "button";
      button.dataset.state = state;
      button.addEventListener("click", () => this.#show({ filter: state }));
      byId("filters").append(button);
    }
  }

  #show({ pipeline = this.#selected, filter = this.#filter, query = this.#query }) {
    this.#looking?.abort();
    this.#looking = null;
    this.#found = null;
    this.#selected = pipeline;
    this.#filter = filter;
    this.#query = query;
    this.#active = null;
    if (byId("search").value !== query) byId("search").value = query;
    this.#writeAddress();
    const list = byId("list");
    const beyond = list.getBoundingClientRect().top - byId("filters").getBoundingClientRect().bottom;
    if (beyond < -40) byId("files").scrollIntoView({ block: "start" });
    this.invalidate();
  }

  #listen() {
    byId("search").addEventListener("input", (event) => this.#show({ query: event.target.value }));
    byId("link").addEventListener("click", () => this.#hub.retry());
    byId("look-up").addEventListener("click", () => this.#lookUp());
    byId("list").addEventListener("keydown", (event) => this.#move(event));
    byId("sheet-close").addEventListener("click", () => byId("sheet").close());
    byId("sheet").addEventListener("close", () => {
      this.#open = null;
    });
    // A click on what lies behind the sheet closes it.
    byId("sheet").addEventListener("click", (event) => {
      if (event.target === byId("sheet")) byId("sheet").close();
    });
    addEventListener("scroll", () => this.invalidate(), { passive: true });
    addEventListener("resize", () => {
      this.#rowHeight = 0;
      this.invalidate();
    });
    addEventListener("hashchange", () => {
      this.#readAddress();
      this.#show({});
    });
    document.addEventListener("keydown", (event) => {
      const typing = event.target instanceof HTMLInputElement;
      if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey && !byId("sheet").open) {
        event.preventDefault();
        byId("search").focus();
      }
    });
  }

  /** Arrow keys go from row to row; one row at a time is in the order of Tab. */
  #move(event) {
    const page = Math.max(1, Math.floor((innerHeight - 160) / this.#rowHeight));
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    if (step === undefined || this.#files.length === 0) return;
    event.preventDefault();
    const from = this.#files.findIndex((file) => file.id === this.#active);
    const to = Math.min(this.#files.length - 1, Math.max(0, (from < 0 ? 0 : from) + step));
    this.#active = this.#files[to].id;
    const top = byId("list").getBoundingClientRect().top + scrollY + to * this.#rowHeight;
    const margin = byId("filters").parentElement.getBoundingClientRect().bottom;
    if (top < scrollY + margin) scrollTo({ top: top - margin });
    else if (top + this.#rowHeight > scrollY + innerHeight) scrollTo({ top: top + this.#rowHeight - innerHeight + 8 });
    this.#draw();
    this.#rows.get(this.#active)?.button.focus({ preventScroll: true });
  }

  async #lookUp() {
    const pipeline = this.#pipeline();
    if (!pipeline) return;
    this.#looking?.abort();
    const looking = new AbortController();
    this.#looking = looking;
    this.#found = { busy: true, files: [] };
    this.invalidate();
    let found;
    try {
      const state = this.#filter === "all" ? undefined : this.#filter;
      const text = this.#query.trim() || undefined;
      found = await lookUp(pipeline.id, { state, text, signal: looking.signal });
      found ??= { files: [], problem: "This hub keeps no list of the others." };
    } catch {
      found = { files: [], problem: "The hub did not answer. Try again.", again: true };
    }
    if (looking.signal.aborted) return;
    this.#found = found;
    this.invalidate();
  }

  // ------------------------------------------------------------------------------------------ drawing

  #pipeline() {
    const { pipelines } = this.#hub;
    if (pipelines.has(this.#selected)) return pipelines.get(this.#selected);
    const open = ({ session: { state } }) => (state ? state.counts.queued + state.counts.processing : -1);
    return [...pipelines.values()].sort((a, b) => open(b) - open(a) || (a.id < b.id ? -1 : 1))[0];
  }

  #draw() {
    const pipeline = this.#pipeline();
    // Once all are known and one was chosen, it stays, whatever happens to the others.
    const known = [...this.#hub.pipelines.values()].every(({ session, problem }) => session.state || problem);
    if (pipeline && known && this.#selected === null) this.#selected = pipeline.id;
    this.#drawLink();
    this.#drawSide(pipeline);
    const state = pipeline?.session.state ?? null;
    byId("detail").hidden = !state;
    byId("empty").hidden = Boolean(state);
    if (state) {
      this.#drawHead(pipeline, state);
      this.#drawFigures(pipeline, state);
      this.#drawFilters(state);
      this.#drawCauses(state);
      this.#drawList(state);
      this.#drawSheet(state);
      const done = this.#done(state.counts);
      const failed = state.counts.failed ? ` · ${count(state.counts.failed)} failed` : "";
      document.title = `${done.total ? `${percent(done.part)}${failed} · ` : ""}${pipeline.id} · RagPulse`;
    } else {
      this.#drawEmpty(pipeline);
      document.title = "RagPulse";
    }
    this.#announce(pipeline, state);
  }

  #drawEmpty(pipeline) {
    const { transport, discovered } = this.#hub;
    let title = "Connecting to the hub";
    let text = "The first pipelines will show up here.";
    if (transport === "offline") {
      title = "The hub cannot be reached";
      text = "This page keeps trying, and goes on where it stopped.";
    } else if (pipeline?.problem) {
      title = `“${pipeline.id}” cannot be shown`;
      text = pipeline.problem;
    } else if (pipeline) {
      title = `Waiting for “${pipeline.id}”`;
      text = "Its state is on its way.";
    } else if (discovered) {
      title = "No pipelines yet";
      text = "A pipeline shows up here as soon as it reports pipeline:online.";
    }
    setText(byId("empty-title"), title);
    setText(byId("empty-text"), text);
  }

  #drawLink() {
    const { transport, latency, heardAt } = this.#hub;
    const link = byId("link");
    const age = heardAt === null ? null : (performance.now() - heardAt) / 1000;
    setAttribute(link, "data-transport", transport);
    setText(byId("link-name"), TRANSPORTS[transport]);
    setText(byId("link-latency"), latency === null ? "" : `${Math.max(1, Math.round(latency))} ms`);
    setText(byId("link-age"), age === null ? "" : age < 1.5 ? "data now" : `data ${clockSpan(age)} old`);
    const hint = {
      connecting: "Connecting.",
      websocket: "Events arrive as they happen.",
      polling: "The socket cannot be had; events are fetched by HTTP. Activate to try the socket again now.",
      offline: "The hub does not answer. Activate to try again now.",
    }[transport];
    setAttribute(link, "title", hint);
    setAttribute(link, "aria-label", `Connection: ${TRANSPORTS[transport]}. ${hint}`);
  }

  #drawSide(selected) {
    const gone = ({ session: { state } }) => Number(state?.liveness === "offline" || state?.liveness === "lost");
    const pipelines = [...this.#hub.pipelines.values()].sort((a, b) => gone(a) - gone(b) || (a.id < b.id ? -1 : 1));
    document.querySelector(".frame").classList.toggle("single", pipelines.length < 2);
    keyed(byId("pipelines"), this.#pipelineItems, pipelines.map(({ id }) => id), (id) => {
      const dot = make("span", "live-dot");
      const button = make("button", "pipeline",
        make("span", "pipeline-name", dot, make("span", "", id)),
        make("span", "whole"),
        make("span", "pipeline-line", make("span"), make("span")));
      button.type = "button";
      button.addEventListener("click", () => this.#show({ pipeline: id }));
      return make("li", "", button);
    });
    for (const { id, session: { state } } of pipelines) {
      const button = this.#pipelineItems.get(id).firstElementChild;
      const [name, bar, line] = button.children;
      const current = String(id === selected?.id);
      if (button.getAttribute("aria-current") !== current) {
        button.setAttribute("aria-current", current);
        // On a narrow page they lie side by side.
        if (current === "true") byId("pipelines").scrollTo({ left: button.parentElement.offsetLeft - 16 });
      }
      setAttribute(name, "data-live", state?.liveness ?? "offline");
      stackedBar(bar, state?.counts);
      const done = state && this.#done(state.counts);
      const open = state ? state.counts.queued + state.counts.processing : 0;
      const live = state ? LIVENESS[state.liveness] : "Waiting";
      setText(line.children[0], open > 0 ? `${live} · ${percent(done.part)}` : live);
      const failed = state?.counts.failed ?? 0;
      line.children[1].className = failed ? "pipeline-failed" : "";
      setText(line.children[1], failed ? `${count(failed)} failed` : done ? `${count(done.total)} ${done.total === 1 ? "file" : "files"}` : "");
    }
  }

  #done(counts) {
    const total = FILE_STATES.reduce((sum, state) => sum + counts[state], 0);
    const ended = total - counts.queued - counts.processing;
    return { total, ended, part: total ? ended / total : 0 };
  }

  #drawHead(pipeline, state) {
    const now = this.#hub.now();
    setText(byId("name"), pipeline.id);
    setAttribute(byId("live"), "data-live", state.liveness);
    const heard = ago(Date.parse(state.last_activity), now);
    setText(byId("live-name"), state.liveness === "live" ? "Live" : `${LIVENESS[state.liveness]}, last event ${heard}`);
    const plain = state.status === "online" || state.status === "offline";
    setText(byId("word"), plain ? "" : shown(state.status));

    const facts = [words(state.pipeline_type)];
    if (state.watch_location) facts.push(make("code", "", shown(state.watch_location)));
    if (state.liveness === "offline" || state.liveness === "lost") {
      if (state.shutdown_at) {
        const why = state.offline_reason ? ` (${words(state.offline_reason).toLowerCase()})` : "";
        facts.push(`stopped ${ago(Date.parse(state.shutdown_at), now)}${why}`);
      }
    } else {
      if (state.started_at) facts.push(`started ${ago(Date.parse(state.started_at), now)}`);
      const next = state.next_check_time ? (Date.parse(state.next_check_time) - now) / 1000 : null;
      if (state.is_checking) facts.push("checking its source now");
      else if (next !== null && next > 0) facts.push(`next check in ${clockSpan(next)}`);
      else if (state.check_interval) facts.push(`checks every ${span(state.check_interval)}`);
    }
    const text = facts.map((fact) => (typeof fact === "string" ? fact : fact.textContent)).join("\n");
    const element = byId("facts");
    if (element.dataset.text !== text) {
      element.dataset.text = text;
      element.replaceChildren(...facts.map((fact) => (typeof fact === "string" ? make("span", "", fact) : fact)));
    }
  }

  #drawFigures(pipeline, state) {
    const now = this.#hub.now();
    const { ended, events } = this.#meters(pipeline.id);
    const done = this.#done(state.counts);
    setText(byId("done"), count(done.ended));
    setText(byId("done-of"), `of ${count(done.total)}${done.total ? ` · ${percent(done.part)}` : ""}`);
    const perSecond = ended.sum(now, 60) / ended.reach(now, 60);
    setText(byId("per-minute"), rate(perSecond * 60));
    setText(byId("per-second"), rate(events.sum(now, 10) / 10));

    const open = state.counts.queued + state.counts.processing;
    let [left, note] = ["–", ""];
    if (open === 0) note = done.total ? "nothing is waiting" : "";
    else if (perSecond > 0) [left, note] = [span(Math.max(1, Math.round(open / perSecond))), "at this rate"];
    else note = `${count(open)} open`;
    setText(byId("left"), left);
    setText(byId("left-note"), note);

    const series = ended.series(now, 40, 3);
    const most = Math.max(...series, 1);
    const bars = series.map((value, i) => {
      const height = Math.max(value > 0 ? 2 : 0.6, (value / most) * 24);
      return `M${i * 3} ${(24 - height).toFixed(1)}h2.2V24h-2.2z`;
    });
    setAttribute(byId("spark").firstElementChild, "d", bars.join(""));

    const whole = byId("whole");
    stackedBar(whole, state.counts);
    const parts = FILE_STATES.filter((key) => state.counts[key]).map((key) => `${count(state.counts[key])} ${key}`);
    setAttribute(whole, "aria-label", parts.length ? `Files: ${parts.join(", ")}` : "No files yet");
  }

  #drawFilters(state) {
    for (const button of byId("filters").children) {
      const key = button.dataset.state;
      const value = key === "all" ? this.#done(state.counts).total : state.counts[key];
      setText(button.lastElementChild, count(value));
      setAttribute(button, "aria-pressed", String(key === this.#filter));
      button.classList.toggle("none-of", value === 0);
      // Rare, and the line is short.
      button.hidden = key === "cancelled" && value === 0 && this.#filter !== key;
    }
  }

  #drawCauses(state) {
    const groups = new Map();
    let listed = 0;
    for (const file of state.files.group("ended")) {
      if (file.state !== "failed" || !file.error) continue;
      listed += 1;
      const key = causeOf(file.error);
      const group = groups.get(key) ?? { amount: 0 };
      groups.set(key, group);
      group.amount += 1;
      // The table goes from the oldest to the newest: the last one stays.
      group.file = file;
    }
    const largest = [...groups].sort(([, a], [, b]) => b.amount - a.amount || b.file.seq - a.file.seq).slice(0, CAUSES);
    byId("causes").hidden = largest.length === 0 || (this.#filter !== "all" && this.#filter !== "failed");
    const partly = listed < state.counts.failed;
    setText(byId("causes-note"), partly ? `among the last ${count(state.limits.ended)} that ended` : "");
    keyed(byId("causes-list"), this.#causeItems, largest.map(([key]) => key), () => {
      const text = make("span", "cause-text", make("span", "cause-kind"), document.createTextNode(""));
      const button = make("button", "cause", make("b"), text, make("span", "cause-where"));
      button.type = "button";
      button.addEventListener("click", () => this.#show({ filter: "failed", query: button.dataset.type }));
      return make("li", "", button);
    });
    for (const [key, { amount, file }] of largest) {
      const button = this.#causeItems.get(key).firstElementChild;
      const [number, text, where] = button.children;
      button.dataset.type = file.error.type;
      setText(number, count(amount));
      setText(text.firstElementChild, shown(key));
      const message = `  ${shown(file.error.message)}`;
      if (text.lastChild.data !== message) text.lastChild.data = message;
      setText(where, amount === 1 ? shown(file.name) : `last ${timeOfDay(file.completed_at ?? state.timestamp)}`);
    }
  }

  // ------------------------------------------------------------------------------------------ the list

  #select(state) {
    const query = this.#query.trim().toLowerCase();
    const fits = (file) => (this.#filter === "all" || file.state === this.#filter) && (!query || matches(file, query));
    const { files } = state;
    // What runs, then what ended, the newest first, then what waits.
    const listed = [...files.group("processing"), ...[...files.group("ended")].reverse(), ...files.group("queued")]
      .filter(fits);
    if (!this.#found) return listed;
    const others = this.#found.files.filter((file) => !files.get(file.id) && fits(file)).reverse();
    return [...listed, ...others];
  }

  #drawList(state) {
    const list = byId("list");
    if (this.#rowHeight === 0) {
      this.#rowHeight = Number.parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row"));
    }
    this.#files = this.#select(state);
    const height = `${this.#files.length * this.#rowHeight}px`;
    if (list.style.height !== height) list.style.height = height;

    const top = -list.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / this.#rowHeight) - OVERSCAN);
    const last = Math.min(this.#files.length, Math.ceil((top + innerHeight) / this.#rowHeight) + OVERSCAN);
    const places = new Map();
    for (let place = first; place < last; place += 1) places.set(this.#files[place].id, place);
    // The row that has the focus stays, also where it is not seen, or the focus would be lost.
    const focused = document.activeElement?.closest?.(".row")?.dataset.key;
    if (focused !== undefined && !places.has(focused)) {
      const place = this.#files.findIndex((file) => file.id === focused);
      if (place >= 0) places.set(focused, place);
    }
    if (!this.#files.some((file) => file.id === this.#active)) this.#active = this.#files[0]?.id ?? null;

    for (const [id, row] of this.#rows) {
      if (!places.has(id)) {
        row.element.remove();
        this.#rows.delete(id);
      }
    }
    const now = this.#hub.now();
    const second = Math.floor(now / 1000);
    for (const [id, place] of places) {
      let row = this.#rows.get(id);
      if (!row) {
        row = this.#createRow(id);
        this.#rows.set(id, row);
        list.append(row.element);
      }
      if (row.place !== place) {
        row.place = place;
        row.element.style.transform = `translateY(${place * this.#rowHeight}px)`;
        setAttribute(row.element, "aria-posinset", String(place + 1));
      }
      setAttribute(row.element, "aria-setsize", String(this.#files.length));
      row.button.tabIndex = id === this.#active ? 0 : -1;
      const file = this.#files[place];
      if (row.file !== file || row.second !== second) {
        this.#drawRow(row, file, now);
        row.file = file;
        row.second = second;
      }
    }
    this.#drawEnd(state);
  }

  #createRow(id) {
    const title = make("span", "row-title");
    const path = make("span", "row-path");
    const stages = make("span", "stages");
    const text = make("span", "row-text", make("b"), document.createTextNode(""));
    const side = make("span", "row-side", make("b"), make("span"));
    const button = make("button", "row-button", badge("queued"), make("span", "row-name", title, path),
      make("span", "row-work", stages, text), side);
    button.type = "button";
    const element = make("li", "row", button);
    element.dataset.key = id;
    button.addEventListener("focus", () => {
      this.#active = id;
    });
    button.addEventListener("click", () => this.#openSheet(this.#rows.get(id)?.file));
    return { element, button, title, path, stages, text, side, file: null, second: 0, place: -1, state: null };
  }

  #drawRow(row, file, now) {
    if (row.state !== file.state) {
      row.state = file.state;
      row.element.dataset.state = file.state;
      row.button.firstElementChild.replaceWith(badge(file.state));
      row.side.firstElementChild.replaceChildren(badge(file.state), make("span"));
    }
    setText(row.title, shown(file.name) || "(no name)");
    setText(row.path, shown(placeOf(file)));
    setAttribute(row.title, "title", shown(file.path ?? file.name));
    row.stages.hidden = file.state !== "processing" && file.progress === undefined;
    if (!row.stages.hidden) stageBar(row.stages, file);
    const [strong, rest] = this.#work(file, now);
    setText(row.text.firstElementChild, shown(strong));
    const text = rest ? `${strong ? "  " : ""}${shown(rest)}` : "";
    if (row.text.lastChild.data !== text) row.text.lastChild.data = text;
    setAttribute(row.text, "title", row.text.textContent);
    const [main, small] = this.#side(file, now);
    setText(row.side.firstElementChild.lastElementChild, main);
    setText(row.side.lastElementChild, small);
  }

  /** What is to be said of a file's work: what stands out, and the rest. */
  #work(file, now) {
    const again = file.attempt > 1
      ? `attempt ${file.attempt}${file.max_attempts ? ` of ${file.max_attempts}` : ""}`
      : "";
    switch (file.state) {
      case "processing": {
        const parts = [];
        if (file.progress !== undefined) parts.push(percent(file.progress));
        if (file.current !== undefined) {
          const total = file.total === undefined ? "" : ` of ${count(file.total)}`;
          parts.push(`${count(file.current)}${total} ${file.unit ?? ""}`.trim());
        }
        if (again) parts.push(again);
        return [file.processing_stage ? words(file.processing_stage) : "Working", parts.join(" · ")];
      }
      case "queued": {
        if (file.retry_at) {
          const wait = (Date.parse(file.retry_at) - now) / 1000;
          const cause = file.error ? ` after ${causeOf(file.error)}: ${file.error.message}` : "";
          return [wait > 0 ? `Retry in ${clockSpan(wait)}` : "Retry due", `${again}${cause}`];
        }
        if (file.error) return ["Waiting again", `${again} after ${causeOf(file.error)}: ${file.error.message}`];
        const place = file.queue_position === undefined ? "" : `${count(file.queue_position)} before it`;
        const change = file.change && file.change !== "created" ? words(file.change) : "";
        return ["", [change, place, again].filter(Boolean).join(" · ")];
      }
      case "completed": {
        const { chunks_created: chunks } = file.results ?? {};
        const warned = file.warnings?.length ? quantity(file.warnings.length, "warning") : "";
        return ["", [chunks === undefined ? "" : quantity(chunks, "chunk"), warned, again].filter(Boolean).join(" · ")];
      }
      case "failed":
        return [file.error ? causeOf(file.error) : "Failed", file.error?.message ?? ""];
      case "skipped":
        return [words(file.reason ?? "skipped"), file.message ?? (file.duplicate_of ? `same as ${file.duplicate_of}` : "")];
      default:
        return ["", file.requested_by ? `by ${file.requested_by}` : ""];
    }
  }

  #side(file, now) {
    const since = (text) => (now - Date.parse(text)) / 1000;
    if (file.state === "processing") {
      const running = file.started_at ? since(file.started_at) : 0;
      const guess = file.estimated_duration === undefined ? undefined : file.estimated_duration - running;
      const eta = file.eta_seconds ?? (guess > 0 ? guess : undefined);
      return eta === undefined
        ? [clockSpan(running), "so far"]
        : [`${clockSpan(Math.max(1, eta))} left`, `${clockSpan(running)} so far`];
    }
    if (file.state === "queued") return file.queued_at ? [clockSpan(since(file.queued_at)), "waiting"] : ["", ""];
    const took = file.results?.processing_duration
      ?? (file.started_at && file.completed_at ? (Date.parse(file.completed_at) - Date.parse(file.started_at)) / 1000 : undefined);
    const ended = file.completed_at ? timeOfDay(file.completed_at) : "";
    return took === undefined ? [ended, ""] : [span(took), ended];
  }

  #drawEnd(state) {
    const total = this.#filter === "all" ? this.#done(state.counts).total : state.counts[this.#filter];
    const query = this.#query.trim();
    const none = this.#files.length === 0;
    byId("none").hidden = !none;
    if (none) {
      const what = this.#filter === "all" ? "files" : `${this.#filter} files`;
      setText(byId("none"), query ? `No listed ${what} match “${query}”.` : total ? `No ${what} are listed.` : `No ${what}.`);
    }
    // The state lists what is open within limits and what ended last; the rest is counted only.
    const held = this.#filter === "all"
      ? state.files.size
      : [...state.files].filter((file) => file.state === this.#filter).length;
    const missing = Math.max(0, total - held);
    const found = this.#found;
    let text = "";
    if (found?.busy) text = "Looking…";
    else if (found?.problem) text = found.problem;
    else if (found) text = `${count(this.#files.length)} shown, from the hub's whole index${found.more ? "; there are more, narrow the search" : ""}.`;
    else if (missing > 0) text = `${count(this.#files.length)} shown. ${count(missing)} more are counted but not listed here.`;
    else if (query) text = `${count(this.#files.length)} of ${count(total)} shown.`;
    setText(byId("shown"), text);
    const button = byId("look-up");
    button.hidden = missing === 0 || Boolean(found && !found.again);
    setText(button, query ? `Search all ${count(total)}` : "Show them");
  }

  // ------------------------------------------------------------------------------------------ one file

  #openSheet(file) {
    if (!file) return;
    this.#open = { id: file.id, file, second: 0 };
    this.#fillSheet(file);
    byId("sheet").showModal();
  }

  #drawSheet(state) {
    if (!this.#open) return;
    // A file that is no longer listed stays as it was last seen.
    const file = state.files.get(this.#open.id) ?? this.#open.file;
    const second = Math.floor(this.#hub.now() / 1000);
    const ticking = !isEnded(file.state) && second !== this.#open.second;
    if (file === this.#open.file && !ticking) return;
    this.#open = { id: file.id, file, second };
    this.#fillSheet(file);
  }

  #fillSheet(file) {
    const now = this.#hub.now();
    byId("sheet-state").replaceWith(Object.assign(badge(file.state), { id: "sheet-state" }));
    setText(byId("sheet-name"), shown(file.name) || "(no name)");

    const work = byId("sheet-work");
    if (file.state === "processing") {
      if (work.childElementCount === 0) {
        work.append(make("span", "stages"), make("span", "sheet-stages"), make("span", "row-text", make("b"), document.createTextNode("")));
      }
      stageBar(work.children[0], file);
      const names = STAGES.includes(file.processing_stage) ? STAGES : [file.processing_stage ?? "working"];
      work.children[1].replaceChildren(...names.map((name) => make("span", "", words(shown(name)))));
      const [strong, rest] = this.#work(file, now);
      setText(work.children[2].firstElementChild, shown(strong));
      work.children[2].lastChild.data = `  ${shown(rest)}`;
    } else {
      work.replaceChildren();
    }

    const cause = byId("sheet-cause");
    cause.hidden = !file.error && !file.message && !file.warnings?.length;
    cause.classList.toggle("calm", file.state !== "failed");
    if (file.error) {
      const code = file.error.code ? ` (${file.error.code})` : "";
      cause.replaceChildren(make("b", "", shown(causeOf(file.error) + code)), lines(file.error.message));
    } else if (!cause.hidden) {
      cause.replaceChildren([file.message, ...(file.warnings ?? [])].filter(Boolean).map(lines).join("\n"));
    }

    const [side, small] = this.#side(file, now);
    const results = file.results ?? {};
    const facts = [
      ["Id", file.id],
      ["Path", file.path],
      ["Size", file.size === undefined ? undefined : bytes(file.size)],
      ["Media type", file.mime_type],
      ["Change", file.change && words(file.change)],
      ["Attempt", `${file.attempt}${file.max_attempts ? ` of ${file.max_attempts}` : ""}`],
      ["Reason", file.reason && words(file.reason)],
      ["Same as", file.duplicate_of],
      ["Queued", file.queued_at && dateAndTime(file.queued_at)],
      ["Started", file.started_at && dateAndTime(file.started_at)],
      ["Ended", file.completed_at && dateAndTime(file.completed_at)],
      ["Next attempt", file.retry_at && dateAndTime(file.retry_at)],
      ["Took", isEnded(file.state) && small ? side : undefined],
      ["Time", isEnded(file.state) ? undefined : `${side} ${small}`],
      ["Chunks", results.chunks_created === undefined ? undefined : count(results.chunks_created)],
      ["Vectors", results.embeddings_generated === undefined ? undefined : count(results.embeddings_generated)],
      ["Text", results.content_length === undefined ? undefined : quantity(results.content_length, "character")],
      ["May be retried", file.error && (file.error.retryable ? "Yes" : "No")],
      ["Cancelled by", file.requested_by],
      ["Event", `No. ${count(file.seq)}`],
    ];
    byId("sheet-facts").replaceChildren(
      ...facts.filter(([, value]) => value?.trim()).flatMap(([name, value]) => [make("dt", "", name), make("dd", "", shown(value))]),
    );
  }

  // ------------------------------------------------------------------------------------------ for those who listen

  #announce(pipeline, state) {
    const told = this.#announced;
    const { transport } = this.#hub;
    const said = [];
    if (told.transport !== transport) {
      if (told.transport !== null && transport !== "connecting") said.push(`Connection: ${TRANSPORTS[transport]}.`);
      told.transport = transport;
    }
    if (state && performance.now() - told.at > 10_000) {
      const before = told.failed.get(pipeline.id);
      const more = before === undefined ? 0 : state.counts.failed - before;
      if (more > 0) said.push(`${more} more ${more === 1 ? "file" : "files"} failed in ${pipeline.id}.`);
      told.failed.set(pipeline.id, state.counts.failed);
      told.at = performance.now();
    }
    if (said.length > 0) setText(byId("announcer"), said.join(" "));
  }
}
