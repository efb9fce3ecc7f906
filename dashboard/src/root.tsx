// The connection: to the hub that serves this page, with the token of this page. Another token is shown to the hub by the
// same store, so that what is shown stays; signing out makes a store anew, so that nothing does.
//
// What may come in: a hub that wants a token, at the beginning or later. What it never does: put a token into an address.
import { createPipelineStatusStore, type UnconnectedStore } from "@ragpulse/client";
import { PipelineStatusProvider } from "@ragpulse/react";
import { LabelsProvider } from "@ragpulse/react/components";
import { type ReactElement, useEffect, useMemo, useState } from "react";
import { io } from "socket.io-client";
import { App } from "./app.js";
import { ActivityContext, SessionContext } from "./hooks.js";
import { Activity } from "./lib/activity.js";
import { hubUrl } from "./lib/check.js";
import { TokenSession } from "./lib/session.js";

/** Numbers and times as the reader writes them; the words are English. */
const LABELS = { locale: navigator.language || "en" };

const session = new TokenSession({ tab: () => sessionStorage, device: () => localStorage });

/** A store of all pipelines of this hub. Bundled here, so the socket's library need not be loaded later. */
const makeStore = (): UnconnectedStore => createPipelineStatusStore({ url: hubUrl(), pipelines: "all", io, token: session.token });

/** Everything. */
export function Root(): ReactElement {
  const [round, setRound] = useState(0);
  const { store, activity } = useMemo(() => {
    const made = makeStore();
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
  useEffect(() => {
    // Somebody signed out, or brought another token, in another tab that has the same one.
    const follow = ({ key, newValue, storageArea }: StorageEvent): void => {
      if (storageArea !== localStorage || !session.follow(key, newValue)) return;
      if (session.token() === null) setRound((last) => last + 1);
      else store.refreshToken();
    };
    addEventListener("storage", follow);
    return () => removeEventListener("storage", follow);
  }, [store]);
  return (
    <PipelineStatusProvider store={store}>
      <ActivityContext value={activity}>
        <SessionContext value={session}>
          <LabelsProvider labels={LABELS}>
            <App key={round} onSignOut={() => {
              session.forget();
              setRound((last) => last + 1);
            }} />
          </LabelsProvider>
        </SessionContext>
      </ActivityContext>
    </PipelineStatusProvider>
  );
}
