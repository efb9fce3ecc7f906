// Where a token is entered. It is kept for this tab, sent in a header or in the socket's first message, and shown nowhere.
import { type ReactElement, useState } from "react";
import { recallToken } from "../lib/memory.js";
import { CloseButton, Dialog } from "./dialog.js";

interface TokenProps {
  /** Whether the hub said that it needs one, or another one. */
  readonly isRefused: boolean;
  readonly onToken: (token: string | null) => void;
  readonly onClose: () => void;
}

export function Token({ isRefused, onToken, onClose }: TokenProps): ReactElement {
  const [token, setToken] = useState("");
  const had = recallToken() !== null;
  const text = token.trim();
  return (
    <Dialog id="token" className="modal small" labelledBy="token-title" onClose={onClose}>
      <form className="modal-inside" onSubmit={(event) => {
        event.preventDefault();
        if (text) onToken(text);
      }}>
        <header><h2 id="token-title">Token for this hub</h2><CloseButton onClose={onClose} /></header>
        {isRefused && (
          <p className="sheet-cause" role="alert">
            {had ? "The hub does not take the token that was entered. It may be mistyped, or have ended." : "This hub shows its pipelines only to those who have a token."}
          </p>
        )}
        <label className="field">
          <span>Token</span>
          <input type="password" value={token} onChange={(event) => setToken(event.target.value)} autoComplete="off" data-first spellCheck={false} />
        </label>
        <p className="soft">It is kept in this tab until you close it, and never becomes part of an address.</p>
        <div className="actions">
          <button type="submit" className="button primary" disabled={!text}>Connect</button>
          {had && <button type="button" className="button quiet" onClick={() => onToken(null)}>Forget it</button>}
        </div>
      </form>
    </Dialog>
  );
}
