// Makes a store for the components below it, or passes on somebody's own.
//
// What may come in: other options at any time, given anew with every render. What it never does: reconnect for options
// that say the same; connect where nothing is shown, such as on a server; lose its connection when Strict Mode unmounts
// and mounts again.
import {
  type ConnectOptions, createPipelineStatusStore, type PipelineId, type PipelineStatus, type PipelineStatusStore, type TokenSource,
} from "@ragpulse/client";
import {
  createContext, createElement, type ReactElement, type ReactNode, useEffect, useInsertionEffect, useRef, useState,
} from "react";

/** What can be read of a store. */
export type View = Pick<PipelineStatusStore, "connection" | "getFile" | "getSnapshot" | "pipelines" | "vitals">;

/** What the hooks work with. */
export interface Held {
  readonly store: PipelineStatusStore;
  /** The store as it was when it came in, which is what a server has drawn. */
  readonly first: View;
}

/** A store, and what it takes to replace it. */
interface Kept extends Held {
  /** Says which store this is: somebody's own, or the options that made it. */
  readonly key: unknown;
  /** The hub of the states in it; absent for somebody's own. */
  readonly hub?: string;
  /** Connects it; absent for somebody's own, which is not ours to connect or close. */
  readonly connect?: () => void;
  closing?: ReturnType<typeof setTimeout>;
  closed?: boolean;
}

export const Context = createContext<Held | null>(null);

/**
 * What {@link PipelineStatusProvider} takes: a store, or the options to make one.
 *
 * A store of one's own is neither connected nor closed. One that the provider makes is connected while it is mounted, and
 * made anew when `url`, `pipelines`, `transport`, `polling`, `clientId` or `reports` say something else than before; what
 * is known of the new `pipelines` at the same hub stays, and any other that a hook follows is fetched anew. A changed
 * `token` is used from then on, and another text is shown to the hub at once, which also opens anew what the hub has
 * refused. Another function may mean nothing: call `refreshToken()` of `usePipelineStore()`, or `retry()` of
 * `useConnection()`, when there is a fresh token for it to give. `initial`, `io` and `fetch` count when a store is made.
 */
export type PipelineStatusProviderProps = { readonly children?: ReactNode } & (
  | { readonly store: PipelineStatusStore }
  | ({ readonly store?: undefined } & ConnectOptions)
);

function viewOf(store: PipelineStatusStore): View {
  const { connection, pipelines, vitals } = store;
  const states = new Map<PipelineId, PipelineStatus | null>(pipelines.map((id) => [id, store.getSnapshot(id)]));
  const getSnapshot = (id: PipelineId): PipelineStatus | null => states.get(id) ?? null;
  const getFile: View["getFile"] = (id, file) => getSnapshot(id)?.files.find((one) => one.id === file) ?? null;
  return { connection, pipelines, vitals, getSnapshot, getFile };
}

/** Gives the components below it the pipelines of a hub. */
export function PipelineStatusProvider({ children, ...props }: PipelineStatusProviderProps): ReactElement {
  const given = (props as Partial<ConnectOptions>).token;
  const token = useRef(given);
  const key = props.store ??
    JSON.stringify([`${props.url}`, props.pipelines, props.transport, props.polling, props.clientId, props.reports]);
  const make = (last?: Kept): Kept => {
    if (props.store) return { key, store: props.store, first: viewOf(props.store) };
    const hub = `${props.url}`;
    const known = last?.hub === hub ? last.store.pipelines.map(last.store.getSnapshot).filter((state) => !!state) : [];
    const store = createPipelineStatusStore({
      ...props,
      // A server has no page that an address could be relative to; it opens nothing either.
      url: typeof location === "object" ? hub : new URL(hub, "http://localhost"),
      initial: known[0] ? known : (props.initial ?? []),
      // Whatever it is then. That there is none is said by the client's own words for it.
      token: (() => (typeof token.current === "function" ? token.current() : token.current)) as TokenSource,
    });
    return { key, hub, store, first: viewOf(store), connect: store.connect };
  };
  const [kept, keep] = useState(make);
  let held = kept;
  if (held.key !== key) keep((held = make(held)));

  useInsertionEffect(() => {
    token.current = given;
  });
  useEffect(() => {
    // A new text means that the old one ends; a new function may mean nothing.
    if (typeof given === "string") held.store.refreshToken();
  }, [given]);
  useEffect(() => {
    if (!held.connect) return;
    // Hidden for a while, as by Activity, and shown again.
    if (held.closed) return keep(make(held));
    clearTimeout(held.closing);
    held.connect();
    return () => {
      // Strict Mode mounts again before this comes.
      held.closing = setTimeout(() => {
        held.closed = true;
        held.store.close();
      });
    };
  }, [held]);
  return createElement(Context.Provider, { value: held }, children);
}
