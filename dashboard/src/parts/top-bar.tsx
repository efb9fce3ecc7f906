// The bar at the top: the mark, the theme, the help, and the connection.
import type { ReactElement } from "react";
import { ConnectionPill } from "./connection-pill.js";
import { Icon } from "./icons.js";
import { ThemeButton, type ThemeChoice } from "./theme-button.js";

export interface TopBarProps {
  readonly theme: ThemeChoice;
  readonly needsToken: boolean;
  readonly onHelp: () => void;
  readonly onToken: () => void;
}

export const TopBar = ({ theme, needsToken, onHelp, onToken }: TopBarProps): ReactElement => (
  <header className="top">
    <div className="brand">
      <svg className="mark" aria-hidden="true"><use href="#i-pulse" /></svg>
      <span>RagPulse</span>
    </div>
    <div className="top-tools">
      <ThemeButton {...theme} />
      <button type="button" className="icon-button" onClick={onHelp} aria-label="Help and keys" title="Help and keys (?)">
        <Icon name="help" />
      </button>
      <ConnectionPill needsToken={needsToken} onToken={onToken} />
    </div>
  </header>
);
