// The pipelines: each with whether it is heard, how far it is, and what is wrong with it; the worst first.
import type { PipelineStatus } from "@ragpulse/client";
import { CountsBar } from "@ragpulse/react/components";
import { memo, type ReactElement, useEffect, useRef, useState } from "react";
import { show, useNow } from "../hooks.js";
import { ago, count, percent, quantity } from "../lib/format.js";
import { progressOf, standingOf } from "../lib/pipelines.js";
import { LIVENESS_NAMES } from "./names.js";

/** From how many on they can be searched. */
const SEARCHED_FROM = 9;

interface ItemProps {
  readonly id: string;
  readonly state: PipelineStatus | null;
  readonly isShown: boolean;
}

/** What is wrong, or how far it is. */
function Line({ state }: { state: PipelineStatus }): ReactElement {
  const now = useNow();
  const { open, part, total } = progressOf(state.counts);
  const standing = standingOf(state);
  const isSilent = standing === "lost" || standing === "late";
  const live = LIVENESS_NAMES[state.liveness];
  const heard = ago(Date.parse(state.last_activity), now);
  return (
    <span className="pipeline-line">
      <span className={isSilent ? `pipeline-${standing}` : undefined}>
        {isSilent ? `${live}, heard ${heard}` : open > 0 ? `${live} · ${percent(part)}` : live}
      </span>
      {state.counts.failed > 0
        ? <span className="pipeline-failed">{count(state.counts.failed)} failed</span>
        : <span>{quantity(total, "file")}</span>}
    </span>
  );
}

const Item = memo(function Item({ id, state, isShown }: ItemProps): ReactElement {
  const item = useRef<HTMLLIElement>(null);
  useEffect(() => {
    // On a narrow page they lie side by side.
    const list = item.current?.parentElement;
    if (isShown && item.current && list) list.scrollTo({ left: item.current.offsetLeft - list.offsetLeft - 16 });
  }, [isShown]);
  return (
    <li ref={item}>
      <button type="button" className="pipeline" aria-current={isShown} onClick={() => show({ pipeline: id, file: null })}>
        <span className="pipeline-name" data-live={state?.liveness ?? "unknown"}>
          <span className="live-dot" aria-hidden="true" />
          <span>{id}</span>
        </span>
        {state && <CountsBar counts={state.counts} role="presentation" aria-label="" />}
        {state ? <Line state={state} /> : <span className="pipeline-line"><span>Waiting for its state</span></span>}
      </button>
    </li>
  );
});

interface SidebarProps {
  readonly order: readonly string[];
  readonly states: ReadonlyMap<string, PipelineStatus | null>;
  readonly shown: string | null;
}

export function Sidebar({ order, states, shown }: SidebarProps): ReactElement {
  const [query, setQuery] = useState("");
  const text = query.trim().toLowerCase();
  const listed = text ? order.filter((id) => id.toLowerCase().includes(text) || id === shown) : order;
  return (
    <nav className="side" aria-labelledby="side-title">
      <h2 className="overline" id="side-title">Pipelines <span className="overline-count">{count(order.length)}</span></h2>
      {order.length >= SEARCHED_FROM && (
        <label className="side-search">
          <span className="visually-hidden">Find a pipeline</span>
          <input type="search" value={query} onChange={(event) => setQuery(event.target.value)} placeholder="Find a pipeline" autoComplete="off" spellCheck={false} />
        </label>
      )}
      <ul className="pipelines" id="pipelines">
        {listed.map((id) => <Item key={id} id={id} state={states.get(id) ?? null} isShown={id === shown} />)}
      </ul>
    </nav>
  );
}
