// One file in full: where it is, what went wrong, what is known of it, and what happened to it.
//
// What may come in: an id from an address, of a file that is listed, that only the index knows, or that nobody knows.
import type { FileStatus, PipelineStatus } from "@ragpulse/client";
import { useFile, useFiles } from "@ragpulse/react";
import { FileTimeline, StageProgress } from "@ragpulse/react/components";
import { type ReactElement, useEffect, useState } from "react";
import { back, useNow } from "../hooks.js";
import { ago, bytes, clockSpan, count, dateAndTime, quantity, span, words } from "../lib/format.js";
import { kindOf, nameOf, shown, shownLines } from "../lib/text.js";
import { CloseButton, Dialog } from "./dialog.js";
import { Badge } from "./icons.js";

/** The file as it is, or was when it was listed last; looked up in the index where it never was. */
function useSheetFile(pipeline: string, id: string, known: FileStatus | null): { file: FileStatus | null; isLoading: boolean } {
  const live = useFile(pipeline, id) ?? known;
  const [last, setLast] = useState(live);
  useEffect(() => {
    if (live) setLast(live);
  }, [live]);
  const seen = live ?? last;
  const index = useFiles(seen ? null : pipeline, { q: id, limit: 100 });
  return { file: seen ?? index.items.find((file) => file.id === id) ?? null, isLoading: !seen && index.isLoading };
}

function factsOf(file: FileStatus, now: number): [string, string][] {
  const { results = {}, error } = file;
  const took = results.processing_duration
    ?? (file.started_at && file.completed_at ? (Date.parse(file.completed_at) - Date.parse(file.started_at)) / 1000 : undefined);
  const retryIn = file.retry_at ? (Date.parse(file.retry_at) - now) / 1000 : 0;
  const facts: [string, string | undefined | false][] = [
    ["Id", file.id],
    ["Path", file.path],
    ["Size", file.size !== undefined && bytes(file.size)],
    ["Media type", file.mime_type],
    ["Change", file.change && words(file.change)],
    ["Attempt", `${count(file.attempt)}${file.max_attempts ? ` of ${count(file.max_attempts)}` : ""}`],
    ["Reason", file.reason && words(file.reason)],
    ["Same as", file.duplicate_of],
    ["Queued", file.queued_at && `${dateAndTime(file.queued_at)}${file.state === "queued" ? ` (${ago(Date.parse(file.queued_at), now)})` : ""}`],
    ["Started", file.started_at && `${dateAndTime(file.started_at)}${file.state === "processing" ? ` (${ago(Date.parse(file.started_at), now)})` : ""}`],
    ["Ended", file.completed_at && dateAndTime(file.completed_at)],
    ["Next attempt", file.retry_at && `${dateAndTime(file.retry_at)}${retryIn > 0 ? ` (in ${clockSpan(retryIn)})` : ""}`],
    ["Took", took !== undefined && span(took)],
    ["Chunks", results.chunks_created !== undefined && count(results.chunks_created)],
    ["Vectors", results.embeddings_generated !== undefined && count(results.embeddings_generated)],
    ["Text", results.content_length !== undefined && quantity(results.content_length, "character")],
    ["May be retried", error && (error.retryable ? "Yes" : "No")],
    ["Cancelled by", file.requested_by],
    ["Event", `No. ${count(file.seq)}`],
  ];
  return facts.flatMap(([name, value]) => (value && value.trim() ? [[name, shownLines(value)] as [string, string]] : []));
}

function Cause({ file }: { file: FileStatus }): ReactElement | null {
  const { error, message, warnings = [] } = file;
  const className = file.state === "failed" ? "sheet-cause" : "sheet-cause calm";
  if (error) {
    return (
      <p className={className} id="sheet-cause">
        <b>{kindOf(error)}{error.code && ` (${shown(error.code)})`}</b>
        {shownLines(error.message)}
      </p>
    );
  }
  const lines = [message ?? "", ...warnings].filter(Boolean).map(shownLines);
  return lines.length ? <p className={className} id="sheet-cause">{lines.join("\n")}</p> : null;
}

export function FileSheet({ state, id, known }: { state: PipelineStatus; id: string; known: FileStatus | null }): ReactElement {
  const now = useNow();
  const { file, isLoading } = useSheetFile(state.pipeline_id, id, known);
  const close = (): void => back({ file: null });
  return (
    <Dialog id="sheet" className="sheet" labelledBy="sheet-name" onClose={close}>
      <div className="sheet-inside">
        <header>
          {file ? <Badge state={file.state} /> : <span />}
          <CloseButton onClose={close} />
          <h2 id="sheet-name">{file ? nameOf(file) : shown(id)}</h2>
        </header>
        {file ? (
          <>
            {file.state === "processing" && <StageProgress file={file} isDetailed />}
            <Cause file={file} />
            <dl className="pairs" id="sheet-facts">
              {factsOf(file, now).map(([name, value]) => [<dt key={name}>{name}</dt>, <dd key={`${name} value`}>{value}</dd>])}
            </dl>
          </>
        ) : (
          <p className="soft">{isLoading ? "Looking it up…" : "This pipeline has no such file now. What is kept of its history is below."}</p>
        )}
        <section className="history" aria-labelledby="timeline-title">
          <h3 className="overline" id="timeline-title">Timeline</h3>
          <FileTimeline pipeline={state.pipeline_id} file={id} />
        </section>
      </div>
    </Dialog>
  );
}
