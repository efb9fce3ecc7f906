"use client";
// The files of a pipeline: those at work, the last that were completed, the last that failed and why.
import type { FileStatus, PipelineStatus } from "@ragpulse/client";
import { StageProgress, useNow } from "@ragpulse/react/components";
import { memo, type ReactNode, useId } from "react";

import { ago, count, duration } from "./format";

/** How many of each are shown, at most. */
const SHOWN = { processing: 8, completed: 10, failed: 5 } as const;

interface ListProps {
  readonly title: string;
  readonly kind: keyof typeof SHOWN;
  readonly files: readonly FileStatus[];
  /** How many there are in all. */
  readonly total: number;
  readonly none: string;
  readonly row: (file: FileStatus) => ReactNode;
}

function List({ title, kind, files, total, none, row }: ListProps) {
  const heading = useId();
  const hidden = total - files.length;
  return (
    <div role="group" className={`files ${kind}`} aria-labelledby={heading}>
      <h3 id={heading}>
        {title} <span className="count">{count(total)}</span>
      </h3>
      {files.length === 0 ? <p className="none">{none}</p> : null}
      <ul>{files.map((file) => <li key={file.id}>{row(file)}</li>)}</ul>
      {hidden > 0 ? <p className="more">and {count(hidden)} more</p> : null}
    </div>
  );
}

/** The folder a file lies in, where that is known. */
function Place({ file }: { readonly file: FileStatus }) {
  const { path, name } = file;
  const folder = path?.endsWith(`/${name}`) ? path.slice(0, -name.length - 1) : path;
  return folder && folder !== name ? <span className="place">{folder}</span> : null;
}

/** How long ago it ended. Alone, so that a second that passes draws nothing else. */
function Ended({ at }: { readonly at: string | undefined }) {
  const now = useNow();
  return <span className="when">{now !== null && at ? ago(now - Date.parse(at)) : ""}</span>;
}

const Processing = memo(function Processing({ file }: { readonly file: FileStatus }) {
  return (
    <>
      <div className="line">
        <span className="name">{file.name}</span>
        {file.attempt > 1 ? <span className="when">attempt {file.attempt}</span> : null}
      </div>
      <Place file={file} />
      <StageProgress file={file} />
    </>
  );
});

const Completed = memo(function Completed({ file }: { readonly file: FileStatus }) {
  const { chunks_created: chunks, processing_duration: seconds } = file.results ?? {};
  const facts = [
    chunks !== undefined && `${count(chunks)} ${chunks === 1 ? "chunk" : "chunks"}`,
    seconds !== undefined && duration(seconds),
  ];
  return (
    <>
      <div className="line">
        <span className="name">{file.name}</span>
        <Ended at={file.completed_at} />
      </div>
      <div className="line faint">
        <Place file={file} />
        <span>{facts.filter(Boolean).join(" · ")}</span>
      </div>
    </>
  );
});

const Failed = memo(function Failed({ file }: { readonly file: FileStatus }) {
  const { error } = file;
  return (
    <>
      <div className="line">
        <span className="name">{file.name}</span>
        <Ended at={file.completed_at} />
      </div>
      <Place file={file} />
      {error ? (
        <p className="cause">
          <strong>
            {error.type}
            {error.stage ? ` in ${error.stage}` : ""}
          </strong>{" "}
          {error.message}
          {error.retryable ? <span className="tag">can be retried</span> : null}
        </p>
      ) : null}
    </>
  );
});

/** The three lists. */
export function FileLists({ pipeline }: { readonly pipeline: PipelineStatus }) {
  const { files, counts } = pipeline;
  const of = (state: FileStatus["state"]): FileStatus[] => files.filter((file) => file.state === state);
  // States list files in the order of their last events.
  const last = (state: keyof typeof SHOWN): FileStatus[] => of(state).slice(-SHOWN[state]).reverse();
  const queued = counts.queued > 0 ? `Nothing right now; ${count(counts.queued)} waiting.` : "Nothing to do.";
  return (
    <div className="lists">
      <div>
        <List
          title="Processing" kind="processing" total={counts.processing} none={queued}
          files={of("processing").slice(0, SHOWN.processing)} row={(file) => <Processing file={file} />}
        />
        <List
          title="Failed" kind="failed" total={counts.failed} none="None. Good."
          files={last("failed")} row={(file) => <Failed file={file} />}
        />
      </div>
      <List
        title="Completed" kind="completed" total={counts.completed} none="None yet."
        files={last("completed")} row={(file) => <Completed file={file} />}
      />
    </div>
  );
}
