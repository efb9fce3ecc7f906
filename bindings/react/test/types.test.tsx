// What the types say, which tsc checks before the tests run.
import type { Cause, ConnectionState, FileStatus, NamedEvent, PipelineId, PipelineStatus as Status, PipelineStatusStore } from "@ragpulse/client";
import type { ReactElement } from "react";
import { expectTypeOf, test } from "vitest";

import { FileList, type LabelOverrides, PipelineStatus, StageProgress } from "../src/components/index.js";
import {
  type LostConnection, type Pages, PipelineStatusProvider, type PipelineStatusProviderProps, useConnection, useFile, useFiles, useHistory,
  useLostConnection, usePipelineIds, usePipelines, usePipelineSelector, usePipelineStatus, usePipelineStore,
} from "../src/index.js";

declare const store: PipelineStatusStore;

test("what hooks give", () => {
  expectTypeOf(usePipelines).returns.toEqualTypeOf<readonly Status[]>();
  expectTypeOf(usePipelineIds).returns.toEqualTypeOf<readonly PipelineId[]>();
  expectTypeOf(usePipelineStatus).toEqualTypeOf<(id: string) => Status | null>();
  expectTypeOf(useFile).toEqualTypeOf<(id: string, file: string) => FileStatus | null>();
  expectTypeOf(usePipelineStore).returns.toEqualTypeOf<PipelineStatusStore>();
  expectTypeOf(usePipelineSelector<number>).returns.toBeNumber();
  expectTypeOf(useFiles).returns.toEqualTypeOf<Pages<FileStatus>>();
  expectTypeOf(useHistory).returns.toEqualTypeOf<Pages<NamedEvent>>();
  expectTypeOf(useFiles).parameter(0).toEqualTypeOf<string | null>();
  expectTypeOf(useConnection).returns.toMatchTypeOf<{
    state: ConnectionState; cause: Cause | null; transport: "websocket" | "polling" | null; latencyMs: number | null; dataAgeMs: number | null; retry: () => void;
  }>();
  expectTypeOf(useLostConnection).parameter(0).toEqualTypeOf<(lost: LostConnection | null) => void>();
});

test("what the provider and the components take", () => {
  expectTypeOf<{ url: string }>().toMatchTypeOf<PipelineStatusProviderProps>();
  expectTypeOf<{ store: PipelineStatusStore }>().toMatchTypeOf<PipelineStatusProviderProps>();
  expectTypeOf<{ pipelines: string[] }>().not.toMatchTypeOf<PipelineStatusProviderProps>();
  expectTypeOf<{ text: { files: string } }>().toMatchTypeOf<LabelOverrides>();
  const all = (): ReactElement => (
    <PipelineStatusProvider store={store}>
      <PipelineStatus pipeline="docs" id="x" data-any="y" headingLevel={3} />
      <FileList pipeline="docs" onSelect={(file) => expectTypeOf(file).toEqualTypeOf<FileStatus>()} />
      {/* @ts-expect-error there is no seventh level */}
      <PipelineStatus pipeline="docs" headingLevel={7} />
      {/* @ts-expect-error a file is needed */}
      <StageProgress />
      {/* @ts-expect-error both a store and options cannot be meant */}
      <PipelineStatusProvider store={store} url="/" />
    </PipelineStatusProvider>
  );
  expectTypeOf(all).returns.toEqualTypeOf<ReactElement>();
});
