// The bar at the top: the mark, the theme, the help, the token where there is one to do with, and the connection.
import { ConnectionIndicator } from "@ragpulse/react/components";
import type { ReactElement } from "react";
import { recallToken } from "../lib/memory.js";
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
      {(needsToken || recallToken() !== null) && (
        <button type="button" className={needsToken ? "icon-button needed" : "icon-button"} onClick={onToken}
          aria-label={needsToken ? "Enter a token" : "Change the token"} title={needsToken ? "Enter a token" : "Change the token"}>
          <Icon name="key" />
        </button>
      )}
      <ThemeButton {...theme} />
      <button type="button" className="icon-button" onClick={onHelp} aria-label="Help and keys" title="Help and keys (?)">
        <Icon name="help" />
      </button>
      <ConnectionIndicator id="link" />
    </div>
  </header>
);
