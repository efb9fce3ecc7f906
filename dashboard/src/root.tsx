// The connection: to the hub that serves this page, with the token of this tab, made anew when another token is given.
//
// What may come in: a hub that wants a token, at the beginning or later. What it never does: put a token into an address.
import { createPipelineStatusStore, type Fetch, type UnconnectedStore } from "@ragpulse/client";
import { PipelineStatusProvider } from "@ragpulse/react";
import { LabelsProvider } from "@ragpulse/react/components";
import { type ReactElement, useEffect, useMemo, useState } from "react";
import { io } from "socket.io-client";
import { App } from "./app.js";
import { ActivityContext } from "./hooks.js";
import { Activity } from "./lib/activity.js";
import { keepToken, recallToken } from "./lib/memory.js";

/** Numbers and times as the reader writes them; the words are English. */
const LABELS = { locale: navigator.language || "en" };

/** A store of all pipelines of this hub; `onRefused` is called when it answers that a token is needed. */
function makeStore(onRefused: () => void): UnconnectedStore {
  const fetch: Fetch = async (url, init) => {
    const response = await globalThis.fetch(url, init);
    if (response.status === 401) onRefused();
    return response;
  };
  // The folder of the page, which may lie below a prefix. Bundled here, so the socket's library need not be loaded later.
  const url = new URL(".", location.href.replace(/[?#].*$/, ""));
  const token = recallToken();
  return createPipelineStatusStore({ url, pipelines: "all", io, fetch, ...(token !== null && { token }) });
}

/** Everything. */
export function Root(): ReactElement {
  const [round, setRound] = useState(0);
  const [isRefused, setRefused] = useState(false);
  const { store, activity } = useMemo(() => {
    const made = makeStore(() => setRefused(true));
    return { store: made, activity: new Activity(made), round };
  }, [round]);
  useEffect(() => {
    const stop = activity.watch();
    store.connect();
    return () => {
      stop();
      store.close();
    };
  }, [store, activity]);
  const onToken = (token: string | null): void => {
    keepToken(token);
    setRefused(false);
    setRound((last) => last + 1);
  };
  return (
    <PipelineStatusProvider store={store}>
      <ActivityContext value={activity}>
        <LabelsProvider labels={LABELS}>
          <App isRefused={isRefused} onToken={onToken} />
        </LabelsProvider>
      </ActivityContext>
    </PipelineStatusProvider>
  );
}
