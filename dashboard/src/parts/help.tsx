// The help: what the keys do, and whose code this page holds.
import type { ReactElement } from "react";
import { CloseButton, Dialog } from "./dialog.js";

const KEYS: readonly (readonly [keys: readonly string[], what: string])[] = [
  [["/"], "Search"],
  [["1", "–", "7"], "Show all, processing, queued, completed, failed, skipped, cancelled files"],
  [["[", "]"], "The pipeline before, the next one"],
  [["r"], "Try the connection now"],
  [["t"], "Theme: as the system, light, dark"],
  [["?"], "This help"],
];
const LIST_KEYS: readonly (readonly [keys: readonly string[], what: string])[] = [
  [["↑", "↓"], "From file to file"],
  [["Page ↑", "Page ↓"], "A page up or down"],
  [["Home", "End"], "The first file, the last one"],
  [["Enter"], "Open the file with its timeline"],
  [["Esc"], "Close what is open"],
];

const Keys = ({ rows }: { rows: typeof KEYS }): ReactElement => (
  <dl className="keys">
    {rows.map(([keys, what]) => [
      <dt key={what}>{keys.map((key) => (key === "–" ? " – " : <kbd key={key}>{key}</kbd>))}</dt>,
      <dd key={`${what}.`}>{what}</dd>,
    ])}
  </dl>
);

interface HelpProps {
  readonly singleKeys: boolean;
  readonly onSingleKeys: (on: boolean) => void;
  readonly onClose: () => void;
}

export const Help = ({ singleKeys, onSingleKeys, onClose }: HelpProps): ReactElement => (
  <Dialog id="help" className="modal" labelledBy="help-title" onClose={onClose}>
    <div className="modal-inside">
      <header><h2 id="help-title">Help and keys</h2><CloseButton onClose={onClose} /></header>
      <h3 className="overline">Anywhere</h3>
      <Keys rows={KEYS} />
      <h3 className="overline">In the list of files</h3>
      <Keys rows={LIST_KEYS} />
      <label className="switch">
        <input type="checkbox" checked={singleKeys} onChange={(event) => onSingleKeys(event.target.checked)} />
        Single keys do this anywhere on the page
      </label>
      <p className="soft">
        The address of this page holds what is shown: pipeline, filter, search and file. It can be shared as it is; a token is
        never in it. <a href={`${import.meta.env.BASE_URL}assets/licences.txt`} target="_blank" rel="noreferrer">Licences of bundled code</a>
      </p>
    </div>
  </Dialog>
);
