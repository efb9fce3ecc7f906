// The page: which pipeline is shown, the frame around it, the dialogs, and the keys.
//
// What may come in: any number of pipelines, coming and going. What it never does: change what was chosen because another
// pipeline does something.
import type { PipelineStatus } from "@ragpulse/client";
import { useConnection, usePipelineIds, usePipelines, usePipelineStore } from "@ragpulse/react";
import { type ReactElement, useEffect, useMemo, useState } from "react";
import { show, useKeys, useStanding } from "./hooks.js";
import { FILTERS } from "./lib/address.js";
import { keep, recall } from "./lib/memory.js";
import { orderPipelines, progressOf } from "./lib/pipelines.js";
import { count, percent } from "./lib/format.js";
import { useTheme } from "./parts/theme-button.js";
import { Announcer } from "./parts/announcer.js";
import { Detail } from "./parts/detail.js";
import { Empty } from "./parts/empty.js";
import { Help } from "./parts/help.js";
import { Icons } from "./parts/icons.js";
import { Sidebar } from "./parts/sidebar.js";
import { Token } from "./parts/token.js";
import { TokenNotice } from "./parts/token-notice.js";
import { TopBar } from "./parts/top-bar.js";
import { useShown } from "./shown.js";

/** All pipelines that are followed, by id; those whose state has not come yet too. */
function useStates(): ReadonlyMap<string, PipelineStatus | null> {
  const ids = usePipelineIds();
  const states = usePipelines();
  return useMemo(() => {
    const byId = new Map<string, PipelineStatus | null>(ids.map((id) => [id, null]));
    for (const state of states) byId.set(state.pipeline_id, state);
    return byId;
  }, [ids, states]);
}

/** Whether single keys do something; remembered. */
function useSingleKeys(): [boolean, (on: boolean) => void] {
  const [isOn, setOn] = useState(() => recall("keys") !== "off");
  return [isOn, (on) => {
    keep("keys", on ? null : "off");
    setOn(on);
  }];
}

/** What the hub has against the token: `undefined` where it has nothing, null where there is none, else why. */
function useRefusal(): string | null | undefined {
  const { state, cause } = useConnection();
  const { has } = useStanding();
  if (state !== "closed" || cause?.kind !== "rejected" || cause.code !== "unauthorized") return undefined;
  return has ? cause.message : null;
}

/** The whole page. */
export function App({ onSignOut }: { onSignOut: () => void }): ReactElement {
  const connection = useConnection();
  const store = usePipelineStore();
  const states = useStates();
  const { shown, isSettled, isGone } = useShown(states, connection.transport !== null);
  const state = shown === null ? null : (states.get(shown) ?? null);
  const [dialog, setDialog] = useState<"help" | "token" | null>(null);
  // Asked for once by itself, each time that the hub does not take the one there is.
  const [isPutOff, setPutOff] = useState(false);
  const [singleKeys, setSingleKeys] = useSingleKeys();
  const theme = useTheme();
  const refusal = useRefusal();
  const isRefused = refusal !== undefined;
  // Where nothing is shown the form stands there; else it comes above what is shown.
  const isAsked = state === null ? dialog === "token" && !isRefused : dialog === "token" || (isRefused && dialog === null && !isPutOff);
  // One pipeline needs no list, unless another one is shown.
  const isListed = states.size > (isGone ? 0 : 1);
  const order = useMemo(() => orderPipelines(states), [states]);

  useEffect(() => {
    const { total, part } = progressOf(state?.counts ?? { queued: 0, processing: 0, completed: 0, failed: 0, skipped: 0, cancelled: 0 });
    const failed = state?.counts.failed ? ` · ${count(state.counts.failed)} failed` : "";
    document.title = shown && state ? `${total ? `${percent(part)}${failed} · ` : ""}${shown} · RagPulse` : "RagPulse";
  }, [shown, state]);

  useEffect(() => {
    if (!isRefused) setPutOff(false);
  }, [isRefused]);

  useKeys((event, isTyping) => {
    if (isTyping || !singleKeys) return;
    const step = event.key === "[" ? -1 : event.key === "]" ? 1 : 0;
    const filter = FILTERS[Number(event.key) - 1];
    if (event.key === "/") document.querySelector<HTMLElement>("#files input[type=search]")?.focus();
    else if (event.key === "?") setDialog("help");
    else if (event.key === "t") theme.next();
    else if (event.key === "r") store.retry();
    else if (step !== 0 && shown !== null && order.length > 1) {
      show({ pipeline: order[(order.indexOf(shown) + step + order.length) % order.length] ?? null, file: null });
    } else if (filter) show({ filter });
    else return;
    event.preventDefault();
  });

  return (
    <>
      <Icons />
      <a className="skip-link" href={state ? "#files" : "#main"} onClick={(event) => {
        event.preventDefault();
        (document.getElementById("files") ?? document.getElementById("main"))?.focus();
      }}>{state ? "Skip to the files" : "Skip to the content"}</a>
      <TopBar theme={theme} onHelp={() => setDialog("help")} onSignOut={onSignOut} />
      {(state !== null || !isRefused) && <TokenNotice isRefused={isRefused} onToken={() => setDialog("token")} />}
      <Announcer shown={shown} state={state} />
      <div className={isListed ? "frame" : "frame single"}>
        {isListed && <Sidebar order={order} states={states} shown={shown} />}
        <main className="main" id="main" tabIndex={-1}>
          {state ? <Detail key={state.pipeline_id} state={state} /> : (
            <Empty shown={shown} isSettled={isSettled} isGone={isGone} refusal={refusal} onToken={() => setDialog("token")} />
          )}
        </main>
      </div>
      {dialog === "help" && <Help singleKeys={singleKeys} onSingleKeys={setSingleKeys} onClose={() => setDialog(null)} />}
      {isAsked && (
        <Token refusal={refusal ?? null} onClose={() => {
          setDialog(null);
          setPutOff(isRefused);
        }} />
      )}
    </>
  );
}
