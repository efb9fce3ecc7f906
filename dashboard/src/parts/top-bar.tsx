// The bar at the top: the mark, the way out where there is a token, the theme, the help, and the connection.
import { ConnectionIndicator } from "@ragpulse/react/components";
import type { ReactElement } from "react";
import { useStanding } from "../hooks.js";
import { Icon } from "./icons.js";
import { ThemeButton, type ThemeChoice } from "./theme-button.js";

export interface TopBarProps {
  readonly theme: ThemeChoice;
  readonly onHelp: () => void;
  readonly onSignOut: () => void;
}

export const TopBar = ({ theme, onHelp, onSignOut }: TopBarProps): ReactElement => (
  <header className="top">
    <div className="brand">
      <svg className="mark" aria-hidden="true"><use href="#i-pulse" /></svg>
      <span>RagPulse</span>
    </div>
    <div className="top-tools">
      {useStanding().has && (
        <button type="button" className="sign-out" onClick={onSignOut} title="Sign out: this browser forgets the token">
          <Icon name="leave" /><span>Sign out</span>
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
