"use client";
// Every file of a pipeline, also those beyond what its state lists, with filters, a search, and what happened to each.
import type { PipelineId } from "@ragpulse/client";
import { FileList, FileTimeline } from "@ragpulse/react/components";
import { useState } from "react";

/** Nothing is loaded before it is opened. */
export function AllFiles({ id }: { readonly id: PipelineId }) {
  const [isOpen, setOpen] = useState(false);
  const [file, select] = useState<string | null>(null);
  return (
    <details className="all" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>All files, and what happened to each</summary>
      {isOpen ? (
        <div className="all-body">
          <FileList pipeline={id} selected={file} onSelect={(chosen) => select(chosen.id)} />
          {file !== null ? <FileTimeline pipeline={id} file={file} /> : <p className="none">Choose a file to see its history.</p>}
        </div>
      ) : null}
    </details>
  );
}
