// A modal dialog: the browser keeps the focus in it and gives it back; Escape and a click beside it close it.
import { type ReactElement, type ReactNode, useLayoutEffect, useRef } from "react";
import { Icon } from "./icons.js";

export interface DialogProps {
  /** What it is, for the style sheet and for tests. */
  readonly id: string;
  readonly className: string;
  /** The id of its title. */
  readonly labelledBy: string;
  readonly onClose: () => void;
  readonly children: ReactNode;
}

export function Dialog({ id, className, labelledBy, onClose, children }: DialogProps): ReactElement {
  const dialog = useRef<HTMLDialogElement>(null);
  // It must be closed before it is taken off the page, or the focus is not given back.
  useLayoutEffect(() => {
    const element = dialog.current;
    element?.showModal();
    // Where something is to be entered, one can type at once.
    element?.querySelector<HTMLElement>("[data-first]")?.focus();
    return () => element?.close();
  }, []);
  return (
    <dialog id={id} className={className} aria-labelledby={labelledBy} ref={dialog}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClose={onClose}
      onClick={(event) => {
        if (event.target === event.currentTarget) onClose();
      }}>
      {children}
    </dialog>
  );
}

export const CloseButton = ({ onClose }: { onClose: () => void }): ReactElement => (
  <button type="button" className="icon-button close" onClick={onClose} aria-label="Close"><Icon name="close" /></button>
);
