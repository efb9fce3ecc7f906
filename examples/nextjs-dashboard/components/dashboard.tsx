"use client";
// The page: everything below the provider follows the hub.
import type { PipelineStatus } from "@ragpulse/client";
import { PipelineStatusProvider, useConnection, usePipelineIds } from "@ragpulse/react";
import { ConnectionIndicator } from "@ragpulse/react/components";

import { connectOptions } from "@/lib/connect";
import type { BrowserSettings } from "@/lib/settings";

import { LostNotice } from "./lost-notice";
import { PipelineCard } from "./pipeline-card";

interface DashboardProps {
  readonly settings: BrowserSettings;
  /** What the server fetched; the browser goes on from there. */
  readonly initial: readonly PipelineStatus[];
}

export function Dashboard({ settings, initial }: DashboardProps) {
  return (
    <PipelineStatusProvider {...connectOptions(settings)} initial={initial}>
      <header className="top">
        <h1>RAG pipelines</h1>
        <ConnectionIndicator />
      </header>
      <main>
        <LostNotice />
        <Pipelines />
      </main>
    </PipelineStatusProvider>
  );
}

function Pipelines() {
  const ids = usePipelineIds();
  return ids.length > 0 ? ids.map((id) => <PipelineCard key={id} id={id} />) : <Nothing />;
}

function Nothing() {
  const { transport } = useConnection();
  return (
    <div className="nothing">
      <h2>{transport ? "No pipeline has reported yet" : "Connecting to the hub…"}</h2>
      <p>{transport ? "It appears here with its first event." : "The pipelines appear as soon as it answers."}</p>
    </div>
  );
}
