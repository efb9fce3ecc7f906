// Bars: how many files stand where, and how far one file is.
import type { Counts, FileState, FileStatus } from "@ragpulse/client";
import type { ReactElement } from "react";
import { count } from "../lib/format.js";
import { STAGES } from "../lib/pipelines.js";

const PARTS: readonly FileState[] = ["completed", "skipped", "cancelled", "failed", "processing", "queued"];

/** How many files stand where, as one bar. With a label it is an image of its own; without, it belongs to text beside it. */
export function CountsBar({ counts, isLabelled = false }: { counts: Counts | null; isLabelled?: boolean }): ReactElement {
  const parts = PARTS.filter((state) => counts?.[state]);
  const words = parts.map((state) => `${count(counts?.[state] ?? 0)} ${state}`);
  const label = isLabelled
    ? { role: "img", "aria-label": words.length ? `Files: ${words.join(", ")}` : "No files yet" }
    : { "aria-hidden": true };
  return (
    <span className="whole" {...label}>
      {parts.map((state) => <i key={state} data-state={state} style={{ flexGrow: counts?.[state] ?? 0 }} />)}
    </span>
  );
}

/** The stages of a running file: those behind it full, the one it is in as far as it is. */
export function StageBar({ file }: { file: FileStatus }): ReactElement {
  const place = STAGES.indexOf(file.processing_stage ?? "");
  const parts = place < 0 ? [0] : STAGES.map((_, index) => index);
  const isUnsure = file.progress === undefined;
  return (
    <span className="stages" aria-hidden="true">
      {parts.map((part) => {
        const isRunning = place < 0 || part === place;
        const className = part < place ? "done" : isRunning && isUnsure ? "unsure" : undefined;
        return <i key={part} className={className} style={{ "--part": isRunning ? (file.progress ?? 0) : 0 }} />;
      })}
    </span>
  );
}
