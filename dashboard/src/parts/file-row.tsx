// One file in the list. Drawn anew only when it changes, or each second while its time runs.
import type { FileStatus } from "@ragpulse/client";
import { memo, type ReactElement } from "react";
import { nameOf, placeOf, shown } from "../lib/text.js";
import { timesOf, workOf } from "../lib/work.js";
import { StageBar } from "./bar.js";
import { Badge } from "./icons.js";

interface FileRowProps {
  readonly file: FileStatus;
  readonly index: number;
  readonly size: number;
  readonly top: number;
  readonly isTabStop: boolean;
  /** The hub's time; 0 where it does not matter. */
  readonly now: number;
  readonly onActive: (id: string) => void;
  readonly onOpen: (id: string) => void;
}

export const FileRow = memo(function FileRow({ file, index, size, top, isTabStop, now, onActive, onOpen }: FileRowProps): ReactElement {
  const work = workOf(file, now);
  const times = timesOf(file, now);
  const text = work.rest ? `${work.main}${work.main ? "  " : ""}${work.rest}` : work.main;
  const place = placeOf(file);
  return (
    <li className="row" data-key={file.id} data-state={file.state} aria-posinset={index + 1} aria-setsize={size}
      style={{ transform: `translateY(${top}px)` }}>
      <button type="button" className="row-button" tabIndex={isTabStop ? 0 : -1} aria-haspopup="dialog"
        onFocus={() => onActive(file.id)} onClick={() => onOpen(file.id)}>
        <Badge state={file.state} />
        <span className="row-name">
          <span className="row-title" title={shown(file.path ?? file.name)}>{nameOf(file)}</span>
          {place && <span className="row-path">{place}</span>}
        </span>
        <span className="row-work">
          {file.state === "processing" && <StageBar file={file} />}
          <span className="row-text" title={text}>{work.main && <b>{work.main}</b>}{work.main && work.rest ? "  " : ""}{work.rest}</span>
        </span>
        <span className="row-side">
          <b>{times.main}</b>
          <span>{times.note}</span>
        </span>
      </button>
    </li>
  );
}, (before, after) =>
  before.file === after.file && before.index === after.index && before.size === after.size && before.top === after.top
  && before.isTabStop === after.isTabStop && before.now === after.now);
