"use client";
// @ragpulse/react: a provider and hooks, without anything to be looked at; that is in @ragpulse/react/components.
export { PipelineStatusProvider, type PipelineStatusProviderProps } from "./provider.js";
export {
  type Connection,
  useConnection,
  useFile,
  usePipelineIds,
  usePipelines,
  usePipelineSelector,
  usePipelineStatus,
  usePipelineStore,
} from "./hooks.js";
export { type LostConnection, type LostConnectionOptions, useLostConnection } from "./lost.js";
export { type Pages, useFiles, useHistory } from "./pages.js";
