"use client";
// @ragpulse/react/components: ready-made parts of a page that shows pipelines. Their looks are in @ragpulse/react/styles.css.
export { ConnectionIndicator, type ConnectionIndicatorProps } from "./ConnectionIndicator.js";
export { FileList, type FileListProps } from "./FileList.js";
export { FileRow, type FileRowProps } from "./FileRow.js";
export { FileTimeline, type FileTimelineProps } from "./FileTimeline.js";
export { explain, type LabelOverrides, type Labels, LabelsProvider, useLabels } from "./labels.js";
export { CountsBar, type CountsBarProps, LivenessBadge, PipelineStatus, type PipelineStatusProps } from "./PipelineStatus.js";
export { StageProgress, type StageProgressProps, STAGES } from "./StageProgress.js";
export { useNow } from "./time.js";
