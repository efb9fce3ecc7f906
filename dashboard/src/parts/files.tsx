// The files of a pipeline: filters, search, and a list of which only what is seen is drawn.
//
// What may come in: tens of thousands of files, of which a state lists some and the hub's index the rest. What it never
// does: ask the index for what nobody looks at.
import type { FileStatus, PipelineStatus } from "@ragpulse/client";
import { useFiles } from "@ragpulse/react";
import { defaultRangeExtractor, useWindowVirtualizer } from "@tanstack/react-virtual";
import {
  type KeyboardEvent, type ReactElement, type Ref, useDeferredValue, useEffect, useLayoutEffect, useMemo, useRef, useState,
} from "react";
import { show, useAddress, useMedia, useNow } from "../hooks.js";
import { type Filter, FILTERS } from "../lib/address.js";
import { selectFiles } from "../lib/files.js";
import { count } from "../lib/format.js";
import { progressOf } from "../lib/pipelines.js";
import { FileRow } from "./file-row.js";
import { FileSheet } from "./file-sheet.js";
import { Icon } from "./icons.js";
import { STATE_NAMES } from "./names.js";

/** How high a row is, in pixels; the style sheet has the same. */
const ROW = { wide: 54, narrow: 92 };
/** What sticks to the top of the window: the bar, and filters with search. */
const STUCK = { wide: 108, narrow: 146 };
/** How long nothing more is typed before the index is asked. */
const TYPED_MS = 350;
/** So near the end of the list the next files are fetched. */
const NEAR = 12;

const totalOf = (state: PipelineStatus, filter: Filter): number =>
  filter === "all" ? progressOf(state.counts).total : state.counts[filter];

/** The text once nothing more is typed. */
function useTyped(text: string): string {
  const [typed, setTyped] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setTyped(text), TYPED_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return typed;
}

/** Files that the state does not list, from the index, once they are wanted; with what has become of them since. */
function useBeyond(state: PipelineStatus, filter: Filter, query: string, isWanted: boolean) {
  const q = useTyped(query.trim());
  const ask = { limit: 500, ...(filter !== "all" && { state: filter }), ...(q && { q }) };
  const pages = useFiles(isWanted ? state.pipeline_id : null, ask);
  const seen = useRef(new Map<string, FileStatus>());
  const files = useMemo(() => {
    // One that ran meanwhile and is listed no more is not what the index said of it then.
    for (const file of state.files) seen.current.set(file.id, file);
    return pages.items.map((file) => {
      const later = seen.current.get(file.id);
      return later && later.seq > file.seq ? later : file;
    });
  }, [pages.items, state.files]);
  useEffect(() => {
    if (!isWanted) seen.current.clear();
  }, [isWanted]);
  return { ...pages, files };
}

function Filters({ state, filter }: { state: PipelineStatus; filter: Filter }): ReactElement {
  return (
    <div className="filters" id="filters" role="group" aria-label="Show files by state">
      {FILTERS.map((one) => {
        const amount = totalOf(state, one);
        // Rare, and the line is short.
        if (one === "cancelled" && amount === 0 && filter !== one) return null;
        return (
          <button key={one} type="button" className={amount === 0 ? "filter none-of" : "filter"} data-state={one}
            aria-pressed={one === filter} onClick={() => show({ filter: one })}>
            <Icon name={one} /><span>{one === "all" ? "All" : STATE_NAMES[one]}</span> <b>{count(amount)}</b>
          </button>
        );
      })}
    </div>
  );
}

export function Files({ state, search }: { state: PipelineStatus; search: Ref<HTMLInputElement> }): ReactElement {
  const { filter, query, file: open } = useAddress();
  const now = useNow();
  const isNarrow = useMedia("(max-width: 760px)");
  const layout = isNarrow ? "narrow" : "wide";
  const row = ROW[layout];

  const deferred = useDeferredValue(query);
  const total = totalOf(state, filter);
  const held = useMemo(
    () => (filter === "all" ? state.files.length : state.files.filter((file) => file.state === filter).length),
    [state.files, filter],
  );
  const missing = Math.max(0, total - held);
  const [isAsked, setAsked] = useState(false);
  // With a text the index is searched as well; without one, when the end of what is known comes into sight.
  const beyond = useBeyond(state, filter, deferred, missing > 0 && (isAsked || deferred.trim() !== ""));
  const files = useMemo(
    () => selectFiles(state.files, filter, deferred, beyond.files),
    [state.files, filter, deferred, beyond.files],
  );

  const [active, setActive] = useState<string | null>(null);
  const place = useMemo(() => files.findIndex(({ id }) => id === active), [files, active]);
  const list = useRef<HTMLUListElement>(null);
  const [margin, setMargin] = useState(0);
  useLayoutEffect(() => {
    const top = list.current ? Math.round(list.current.getBoundingClientRect().top + scrollY) : 0;
    if (top !== margin) setMargin(top);
  });
  const hasFocus = useRef(false);
  const virtual = useWindowVirtualizer({
    count: files.length,
    estimateSize: () => row,
    getItemKey: (index) => files[index]?.id ?? index,
    overscan: 8,
    scrollMargin: margin,
    scrollPaddingStart: STUCK[layout],
    scrollPaddingEnd: 8,
    // The row that has the focus stays, also where it is not seen, or the focus would be lost.
    rangeExtractor: (range) => {
      const drawn = defaultRangeExtractor(range);
      return hasFocus.current && place >= 0 && !drawn.includes(place) ? [...drawn, place].sort((a, b) => a - b) : drawn;
    },
  });
  useEffect(() => virtual.measure(), [virtual, row]);

  const drawn = virtual.getVirtualItems();
  const lastDrawn = drawn.at(-1)?.index ?? 0;
  useEffect(() => {
    if (missing === 0 || lastDrawn < files.length - NEAR) return;
    // Not at first sight of a short list: only when somebody went there.
    if (scrollY > margin - STUCK[layout] || isAsked) {
      setAsked(true);
      if (beyond.hasMore && !beyond.error) beyond.loadMore();
    }
  }, [missing, lastDrawn, files.length, margin, layout, isAsked, beyond]);

  // Another list begins at its top.
  const first = useRef(true);
  useEffect(() => {
    if (first.current) {
      first.current = false;
      return;
    }
    setAsked(false);
    const top = margin - STUCK[layout];
    if (scrollY > top) scrollTo({ top });
  }, [filter, query]);

  const onKeyDown = (event: KeyboardEvent): void => {
    const page = Math.max(1, Math.floor((innerHeight - STUCK[layout] - 60) / row));
    const steps: Readonly<Record<string, number>> = {
      ArrowDown: 1, ArrowUp: -1, j: 1, k: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity,
    };
    const step = steps[event.key];
    if (step === undefined || event.ctrlKey || event.metaKey || event.altKey || files.length === 0) return;
    event.preventDefault();
    const to = Math.min(files.length - 1, Math.max(0, Math.max(0, place) + step));
    const id = files[to]?.id;
    if (id === undefined) return;
    setActive(id);
    virtual.scrollToIndex(to, { align: "auto" });
    wanted.current = id;
  };
  // The row may have to be drawn before it can have the focus.
  const wanted = useRef<string | null>(null);
  useEffect(() => {
    if (wanted.current === null) return;
    const button = list.current?.querySelector<HTMLElement>(`[data-key="${CSS.escape(wanted.current)}"] button`);
    if (!button) return;
    wanted.current = null;
    button.focus({ preventScroll: true });
  });

  const tabStop = place >= 0 ? active : (files[0]?.id ?? null);
  const what = filter === "all" ? "files" : `${filter} files`;
  return (
    <section className="files" id="files" tabIndex={-1} aria-labelledby="files-title">
      <h2 className="visually-hidden" id="files-title">Files</h2>
      <div className="tools">
        <Filters state={state} filter={filter} />
        <label className="search">
          <Icon name="search" />
          <span className="visually-hidden">Search by name, path, id or cause</span>
          <input ref={search} type="search" id="search" value={query} placeholder="Search name, path, cause" autoComplete="off"
            spellCheck={false} maxLength={200} onChange={(event) => show({ query: event.target.value }, "replace")}
            onKeyDown={(event) => {
              if (event.key !== "ArrowDown" || !tabStop) return;
              event.preventDefault();
              wanted.current = tabStop;
              setActive(tabStop);
            }} />
          <kbd aria-hidden="true">/</kbd>
        </label>
      </div>
      <ul className="list" id="list" aria-label={`${count(files.length)} ${what}`} ref={list}
        style={{ height: virtual.getTotalSize() }} onKeyDown={onKeyDown}
        onFocus={() => { hasFocus.current = true; }} onBlur={() => { hasFocus.current = false; }}>
        {drawn.map(({ index, start }) => {
          const file = files[index];
          return file && (
            <FileRow key={file.id} file={file} index={index} size={files.length} top={start - margin} isTabStop={file.id === tabStop}
              now={file.state === "queued" || file.state === "processing" ? now : 0}
              onActive={setActive} onOpen={(id) => show({ file: id })} />
          );
        })}
      </ul>
      {files.length === 0 && !beyond.isLoading && (
        <p className="none">
          {query.trim() ? `No listed ${what} match “${query.trim()}”.` : total ? `No ${what} are listed.` : `No ${what}.`}
          {(query || filter !== "all") && (
            <button type="button" className="text-button" onClick={() => show({ query: "", filter: "all" })}>Show all files</button>
          )}
        </p>
      )}
      <p className="more">
        <span id="shown">
          {beyond.error !== null && beyond.error !== undefined
            ? "The hub did not give the rest."
            : beyond.isLoading
              ? "Fetching more from the hub…"
              : query.trim() || files.length < total ? `${count(files.length)} of ${count(total)} shown.` : ""}
        </span>
        {beyond.error !== null && beyond.error !== undefined && (
          <button type="button" className="button" onClick={beyond.loadMore}>Try again</button>
        )}
        {missing > 0 && !beyond.isLoading && beyond.error === null && (beyond.hasMore || (!isAsked && !query.trim())) && (
          <button type="button" className="button" id="look-up" onClick={() => (isAsked ? beyond.loadMore() : setAsked(true))}>Show more</button>
        )}
      </p>
      {open !== null && <FileSheet key={open} state={state} id={open} known={files.find(({ id }) => id === open) ?? null} />}
    </section>
  );
}
