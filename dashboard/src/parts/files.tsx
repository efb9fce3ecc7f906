// The files of a pipeline, with filters and search as the address says, and the sheet of one.
import type { FileStatus, PipelineStatus } from "@ragpulse/client";
import { FileList } from "@ragpulse/react/components";
import { type ReactElement, useEffect, useRef, useState } from "react";
import { show, useAddress } from "../hooks.js";
import { FileSheet } from "./file-sheet.js";

export function Files({ state }: { state: PipelineStatus }): ReactElement {
  const { filter, query, file: open } = useAddress();
  const [picked, setPicked] = useState<FileStatus | null>(null);
  const section = useRef<HTMLElement>(null);

  // Another list begins at its top, which is below what sticks to the window.
  const isFirst = useRef(true);
  useEffect(() => {
    const element = section.current;
    if (isFirst.current || !element) {
      isFirst.current = false;
      return;
    }
    const bar = Number.parseFloat(getComputedStyle(element).scrollMarginTop) || 0;
    if (element.getBoundingClientRect().top < bar) element.scrollIntoView({ block: "start" });
  }, [filter, query]);

  return (
    <section className="files" id="files" ref={section} tabIndex={-1} aria-labelledby="files-title">
      <h2 className="visually-hidden" id="files-title">Files</h2>
      <FileList
        id="list" pipeline={state.pipeline_id} scroll="page" selected={open}
        filter={filter === "all" ? null : filter} onFilterChange={(one) => show({ filter: one ?? "all" })}
        search={query} onSearchChange={(text) => show({ query: text.slice(0, 200) }, "replace")}
        onSelect={(file) => {
          setPicked(file);
          show({ file: file.id });
        }}
      />
      {open !== null && <FileSheet key={open} state={state} id={open} known={picked?.id === open ? picked : null} />}
    </section>
  );
}
