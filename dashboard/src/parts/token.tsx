// The dialog in which another token is entered while a pipeline is shown, which stays as it is behind it.
import type { ReactElement } from "react";
import { CloseButton, Dialog } from "./dialog.js";
import { TokenForm } from "./token-form.js";

export interface TokenProps {
  /** Why the hub does not take the token that there is; null where it does, or there is none. */
  readonly refusal: string | null;
  readonly onClose: () => void;
}

export const Token = ({ refusal, onClose }: TokenProps): ReactElement => (
  <Dialog id="token" className="modal small" labelledBy="token-title" onClose={onClose}>
    <div className="modal-inside">
      <header><h2 id="token-title">Token for this hub</h2><CloseButton onClose={onClose} /></header>
      <TokenForm refusal={refusal} onTaken={onClose} />
    </div>
  </Dialog>
);
