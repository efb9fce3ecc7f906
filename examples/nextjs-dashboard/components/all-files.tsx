"use client";
// Every file of a pipeline, also those beyond what its state lists, with filters, a search, and what happened to each.
import type { FileStatus, PipelineId } from "@ragpulse/client";
import { FileList, FileTimeline } from "@ragpulse/react/components";
import { useState } from "react";

/** Nothing is loaded before it is opened. */
export function AllFiles({ id }: { readonly id: PipelineId }) {
  const [isOpen, setOpen] = useState(false);
  const [file, select] = useState<FileStatus | null>(null);
  return (
    <details className="all" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>All files, and what happened to each</summary>
      {isOpen ? (
        <div className="all-body">
          <FileList pipeline={id} selected={file?.id ?? null} onSelect={select} />
          <div className="history">
            <h3>{file ? file.name : "History"}</h3>
            {file ? (
              <FileTimeline pipeline={id} file={file.id} />
            ) : (
              <p className="none">Choose a file to see what happened to it.</p>
            )}
          </div>
        </div>
      ) : null}
    </details>
  );
}
