// A page with everything on it, for a server to draw and a browser to go on with.
import { type ReactElement, Suspense } from "react";

import { ConnectionIndicator, FileList, FileTimeline, PipelineStatus, StageProgress } from "../src/components/index.js";
import { PipelineStatusProvider, useConnection, useFile, usePipelineIds, usePipelines } from "../src/index.js";
import { AT, fileOf, type Hub, statusOf } from "./hub.js";

const working = fileOf("a", 1, "processing", { processing_stage: "embedding", progress: 0.5, estimated_duration: 60 });
export const initial = [statusOf("docs", [working, fileOf("b", 2), fileOf("q", 3, "queued", { retry_at: AT, error: { type: "E", message: "m", retryable: true } })], {
  started_at: AT, next_check_time: AT, status: "running",
})];

function Core(): ReactElement {
  const { state, dataAgeMs } = useConnection();
  return <p>{`${usePipelineIds().join()} ${usePipelines().length} ${useFile("docs", "a")?.progress} ${state} ${dataAgeMs}`}</p>;
}
export function Page({ hub }: { readonly hub: Hub }): ReactElement {
  return (
    <PipelineStatusProvider {...hub.options} url="/" pipelines={["docs"]} initial={initial}>
      <Core />
      <ConnectionIndicator />
      <ConnectionIndicator variant="full" />
      <PipelineStatus pipeline="docs" />
      <Suspense><FileList pipeline="docs" /></Suspense>
      <FileTimeline pipeline="docs" file="a" />
      <StageProgress file={working} />
    </PipelineStatusProvider>
  );
}
