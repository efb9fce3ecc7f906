// The files of a pipeline as a grid of any length, with filters and a search.
//
// What may come in: tens of thousands of files that change while one scrolls. What it never does: hold more rows in the
// page than are seen, and a few; lose the place or the focus of somebody who uses the keyboard.
import type { FileState, FileStatus } from "@ragpulse/client";
import { useVirtualizer, useWindowVirtualizer, type Virtualizer } from "@tanstack/react-virtual";
import {
  type ComponentPropsWithoutRef, type CSSProperties, type KeyboardEvent, memo, type ReactElement, useCallback, useDeferredValue, useEffect,
  useId, useInsertionEffect, useLayoutEffect, useMemo, useRef, useState,
} from "react";

import { FileRow } from "./FileRow.js";
import { count } from "./format.js";
import { Icon } from "./icons.js";
import { fill, type LabelOverrides, type Labels, LabelsProvider, useLabels } from "./labels.js";
import { type Listing, useListing } from "./listing.js";
import { doneOf } from "./PipelineStatus.js";

const FILTERS: readonly (FileState | null)[] = [null, "processing", "queued", "completed", "failed", "skipped", "cancelled"];
const COLUMNS = 4;
/** The height of a row before it is known how wide the list is. */
const ROW_PX = 54;
const OVERSCAN = 8;
/** How long somebody pauses who has typed what to search for. */
const PAUSE_MS = 300;

/** What {@link FileList} takes, beside what a `div` takes. */
export interface FileListProps extends Omit<ComponentPropsWithoutRef<"div">, "children" | "onSelect"> {
  /** The pipeline's id. */
  readonly pipeline: string;
  /** The id of the selected file, or null. Without it, the list keeps that itself. */
  readonly selected?: string | null;
  /** A file was selected by a click, Enter or the space bar. */
  readonly onSelect?: (file: FileStatus) => void;
  /** Only files in this state, or null for all. Without it, the list keeps that itself. */
  readonly filter?: FileState | null;
  /** Another filter was chosen. */
  readonly onFilterChange?: (filter: FileState | null) => void;
  /** Only files that contain this. Without it, the list keeps that itself. */
  readonly search?: string;
  /** Something else is searched for. */
  readonly onSearchChange?: (search: string) => void;
  /** Whether the filters and the search are shown. Default: true. */
  readonly hasTools?: boolean;
  /** What scrolls: the list, whose height is `--rp-list-height`, or the page. Default: `list`. */
  readonly scroll?: "list" | "page";
  /** How many files are fetched at once of those beyond the state, up to 1,000. Default: 500. */
  readonly pageSize?: number;
  /** Is called with each drawing of a row, for measurements. */
  readonly onRowRender?: (file: FileStatus) => void;
  /** Other texts. */
  readonly labels?: LabelOverrides;
}

/** A value that is the caller's if there is one, else kept here. */
function useOwn<T>(given: T | undefined, first: T, tell: ((value: T) => void) | undefined): [T, (value: T) => void] {
  const [own, setOwn] = useState(first);
  return [given === undefined ? own : given, (value) => {
    setOwn(value);
    tell?.(value);
  }];
}

/** A value once it has stayed the same for a while. */
function useSettled<T>(value: T, afterMs: number): T {
  const [settled, settle] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => settle(value), afterMs);
    return () => clearTimeout(timer);
  }, [value, afterMs]);
  return settled;
}

/** The files of a pipeline. */
export function FileList(props: FileListProps): ReactElement {
  const { pipeline, hasTools = true, scroll = "list", pageSize = 500, labels: over, className } = props;
  const {
    pipeline: _0, selected: _1, onSelect: _2, filter: _3, onFilterChange: _4, search: _5, onSearchChange: _6, hasTools: _7, scroll: _8,
    pageSize: _9, onRowRender: _10, labels: _11, ...rest
  } = props;
  const labels = useLabels(over);
  const { text, locale } = labels;
  const [filter, setFilter] = useOwn(props.filter, null, props.onFilterChange);
  const [search, setSearch] = useOwn(props.search, "", props.onSearchChange);
  const [selected, setSelected] = useOwn<string | null>(props.selected, null, undefined);
  const listing = useListing(pipeline, {
    state: filter, search: useDeferredValue(search), settledSearch: useSettled(search, PAUSE_MS), pageSize,
  });
  const { status, files, total, error } = listing;
  const id = useId();

  // The same function for every row, whatever the caller gives.
  const latest = useRef(props.onSelect);
  useInsertionEffect(() => {
    latest.current = props.onSelect;
  });
  const select = useCallback((file: FileStatus) => {
    setSelected(file.id);
    latest.current?.(file);
  }, []);

  const shown = fill(text.shownOf, count(files.length, locale), total === null ? "…" : count(total, locale));
  // Said when somebody asked for other files, and not when files come and go by themselves.
  const asked = useSettled(`${filter} ${search}`, 2 * PAUSE_MS);
  const [first] = useState(asked);
  // An answer may take longer than that: then it is said when it is here.
  const isHere = files.length > 0 || !listing.hasMore;
  const said = useMemo(
    () => (asked === first ? "" : files.length === 0 ? emptyText(listing, filter, search, labels) : shown),
    [asked, isHere],
  );
  const size = total ?? files.length + 1;
  const grid: GridProps = {
    id, listing, labels, selected, select,
    ...(props.onRowRender && { onRowRender: props.onRowRender }),
  };
  // Another list begins at its top.
  const place = `${pipeline} ${filter} ${search.trim()}`;
  const list = (
    <div {...rest} className={`rp-files ${className ?? ""}`.trim()} data-scroll={scroll}>
      {hasTools && (
        <div className="rp-tools">
          <div className="rp-filters" role="group" aria-label={text.filter}>
            {FILTERS.map((state) => {
              const amount = !status ? 0 : state === null ? doneOf(status.counts).total : status.counts[state];
              // Rare, and the line is short.
              if (state === "cancelled" && amount === 0 && filter !== state) return null;
              return (
                <button
                  key={state ?? ""} type="button" className="rp-filter" aria-pressed={filter === state} aria-controls={id}
                  data-state={state} data-none={amount === 0 || undefined} onClick={() => setFilter(state)}
                >
                  <Icon of={state ?? "all"} /> <span>{state === null ? text.all : labels.states[state]}</span> <b>{count(amount, locale)}</b>
                </button>
              );
            })}
          </div>
          <div className="rp-search">
            <Icon of="search" />
            <input
              type="search" value={search} placeholder={text.search} aria-label={text.search} aria-controls={id} autoComplete="off" spellCheck={false}
              onChange={(event) => setSearch(event.target.value)}
            />
          </div>
        </div>
      )}
      {scroll === "page" ? <PageGrid key={place} {...grid} /> : <ListGrid key={place} {...grid} />}
      {size === 0 && <p className="rp-none">{emptyText(listing, filter, search, labels)}</p>}
      <div className="rp-end">
        {error !== null ? (
          <>
            <span role="alert">{fill(text.loadFailed, error instanceof Error ? error.message : String(error))}</span>
            <button type="button" className="rp-button" onClick={listing.loadMore}>{text.retry}</button>
          </>
        ) : (
          <span>{status && files.length > 0 ? shown : ""}</span>
        )}
      </div>
      <span role="status" className="rp-visually-hidden">{said}</span>
    </div>
  );
  return over ? <LabelsProvider labels={over}>{list}</LabelsProvider> : list;
}

function emptyText({ status, hasMore }: Listing, filter: FileState | null, search: string, { text, states }: Labels): string {
  if (!status) return text.stateOnItsWay;
  if (hasMore) return text.loading;
  if (search.trim()) return fill(text.noMatch, search.trim());
  return filter === null ? text.noFiles : fill(text.noFilesIn, states[filter].toLowerCase());
}

interface GridProps {
  readonly id: string;
  readonly listing: Listing;
  readonly labels: Labels;
  readonly selected: string | null;
  readonly select: (file: FileStatus) => void;
  readonly onRowRender?: (file: FileStatus) => void;
}

interface Measured {
  readonly rowPx: number;
  readonly marginPx: number;
}

/** How high rows are, which the stylesheet says and depends on the width; and how far down the page they begin. */
function useMeasured(rows: { readonly current: HTMLElement | null }): Measured {
  const [measured, setMeasured] = useState<Measured>({ rowPx: ROW_PX, marginPx: 0 });
  useLayoutEffectInPage(() => {
    const element = rows.current;
    if (!element) return;
    const measure = (): void => {
      const rowPx = Number.parseFloat(getComputedStyle(element).getPropertyValue("--rp-row-height")) || ROW_PX;
      const marginPx = Math.round(element.getBoundingClientRect().top + scrollY);
      setMeasured((last) => (last.rowPx === rowPx && last.marginPx === marginPx ? last : { rowPx, marginPx }));
    };
    measure();
    if (typeof ResizeObserver !== "function") return;
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    observer.observe(document.body);
    return () => observer.disconnect();
  }, []);
  return measured;
}
// A server says of the other that it does nothing there.
const useLayoutEffectInPage = typeof document === "object" ? useLayoutEffect : useEffect;

const sizeOf = ({ listing: { files, total } }: GridProps): number => total ?? files.length + 1;

function useGrid(props: GridProps) {
  const { files } = props.listing;
  const rows = useRef<HTMLDivElement>(null);
  const measured = useMeasured(rows);
  const size = sizeOf(props);
  const [place, setPlace] = useState<{ readonly index: number; readonly id: string | null }>({ index: 0, id: null });
  let active = Math.min(place.index, size - 1);
  if (place.id !== null && files[active]?.id !== place.id) {
    const moved = files.findIndex((file) => file.id === place.id);
    if (moved >= 0) active = moved;
  }
  const common = {
    count: size,
    overscan: OVERSCAN,
    estimateSize: () => measured.rowPx,
    getItemKey: (index: number) => files[index]?.id ?? index,
    // The active row stays, also where it is not seen, or whoever uses the keyboard would be nowhere.
    rangeExtractor: ({ startIndex, endIndex, overscan }: { startIndex: number; endIndex: number; overscan: number }) => {
      const from = Math.max(0, startIndex - overscan);
      const to = Math.min(size - 1, endIndex + overscan);
      const range = Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => from + index);
      if (active >= 0 && active < from) range.unshift(active);
      if (active > to) range.push(active);
      return range;
    },
    // A server knows no height.
    initialRect: { width: 0, height: 640 },
  };
  return { rows, measured, active, setPlace, size, common };
}

function ListGrid(props: GridProps): ReactElement {
  const grid = useGrid(props);
  const scroller = useRef<HTMLDivElement>(null);
  const virtualizer = useVirtualizer({ ...grid.common, getScrollElement: () => scroller.current });
  return <Grid {...props} {...grid} virtualizer={virtualizer} scroller={scroller} />;
}

function PageGrid(props: GridProps): ReactElement {
  const grid = useGrid(props);
  const virtualizer = useWindowVirtualizer({ ...grid.common, scrollMargin: grid.measured.marginPx });
  return <Grid {...props} {...grid} virtualizer={virtualizer} />;
}

function Grid<E extends Element | Window>({
  id, listing, labels, selected, select, onRowRender, rows, measured, active, setPlace, size, virtualizer, scroller,
}: GridProps & ReturnType<typeof useGrid> & {
  readonly virtualizer: Virtualizer<E, Element>;
  readonly scroller?: { readonly current: HTMLDivElement | null };
}): ReactElement {
  const { text } = labels;
  const { files, total, hasMore, isLoading, error, loadMore } = listing;
  useLayoutEffectInPage(() => virtualizer.measure(), [virtualizer, measured.rowPx]);

  const items = virtualizer.getVirtualItems();
  const lastShown = items.reduce((last, { index }) => (index === active ? last : Math.max(last, index)), active < files.length ? -1 : active);
  const isWanting = hasMore && !isLoading && error === null && lastShown >= files.length;
  // After every drawing: where a page came before it was drawn that it was awaited, nothing tells the next from the last.
  useEffect(() => {
    if (isWanting) loadMore();
  });

  const go = (index: number): void => {
    const to = Math.max(0, Math.min(size - 1, index));
    setPlace({ index: to, id: files[to]?.id ?? null });
    virtualizer.scrollToIndex(to);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (size === 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const height = scroller?.current?.clientHeight ?? innerHeight;
    const page = Math.max(1, Math.floor(height / measured.rowPx) - 1);
    const file = files[active];
    const to: Readonly<Record<string, number>> = {
      ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + page, PageUp: active - page, Home: 0, End: size - 1,
    };
    if (Object.hasOwn(to, event.key)) go(to[event.key] ?? 0);
    else if ((event.key === "Enter" || event.key === " ") && file) select(file);
    else return;
    event.preventDefault();
  };
  const choose = useCallback((file: FileStatus, index: number) => {
    setPlace({ index, id: file.id });
    select(file);
  }, [select, setPlace]);

  return (
    <div
      ref={scroller}
      id={id}
      className="rp-list"
      role="grid"
      aria-label={text.files}
      aria-rowcount={total === null ? -1 : size + 1}
      aria-colcount={COLUMNS}
      aria-busy={isLoading || undefined}
      aria-activedescendant={size > 0 ? `${id}-${active}` : undefined}
      tabIndex={0}
      onKeyDown={onKeyDown}
    >
      <div role="rowgroup" className="rp-visually-hidden">
        <div role="row" aria-rowindex={1}>
          {[text.columnState, text.columnFile, text.columnProgress, text.columnTime].map((name) => (
            <span key={name} role="columnheader">{name}</span>
          ))}
        </div>
      </div>
      <div ref={rows} role="rowgroup" className="rp-rows" style={{ height: virtualizer.getTotalSize() }}>
        {items.map(({ index, key, start }) => (
          <Row
            key={key} domId={`${id}-${index}`} index={index} top={start - virtualizer.options.scrollMargin} file={files[index] ?? null}
            isActive={index === active} isSelected={selected !== null && files[index]?.id === selected} choose={choose} loading={text.loading}
            {...(onRowRender && { onRender: onRowRender })}
          />
        ))}
      </div>
    </div>
  );
}

interface RowProps {
  readonly domId: string;
  readonly index: number;
  readonly top: number;
  readonly file: FileStatus | null;
  readonly isActive: boolean;
  readonly isSelected: boolean;
  readonly choose: (file: FileStatus, index: number) => void;
  readonly loading: string;
  readonly onRender?: (file: FileStatus) => void;
}

/** The place of a file in the grid, which may change while the file does not. */
const Row = memo(function Row({ domId, index, top, file, isActive, isSelected, choose, loading, onRender }: RowProps): ReactElement {
  if (file) onRender?.(file);
  return (
    <div
      id={domId} role="row" aria-rowindex={index + 2} aria-selected={isSelected} className="rp-row" data-active={isActive || undefined}
      data-state={file?.state} style={{ transform: `translateY(${top}px)` } as CSSProperties}
      onClick={file ? () => choose(file, index) : undefined}
    >
      {file
        ? <FileRow file={file} cellRole="gridcell" />
        : <div role="gridcell" aria-colspan={COLUMNS} className="rp-cell-name rp-pending">{loading}</div>}
    </div>
  );
});
