// Dark, light, or as the system has it.
import { type ReactElement, useState } from "react";
import { chooseTheme, savedTheme, type Theme, THEMES } from "../lib/theme.js";
import { Icon } from "./icons.js";

export interface ThemeChoice {
  readonly theme: Theme;
  readonly next: () => void;
}

/** The theme, and how to go to the next one. */
export function useTheme(): ThemeChoice {
  const [theme, setTheme] = useState(savedTheme);
  const next = (): void => {
    const other = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "system";
    chooseTheme(other);
    setTheme(other);
  };
  return { theme, next };
}

const WORDS: Readonly<Record<Theme, string>> = { system: "as the system", light: "light", dark: "dark" };

export const ThemeButton = ({ theme, next }: ThemeChoice): ReactElement => (
  <button type="button" className="icon-button" onClick={next} aria-label={`Theme: ${WORDS[theme]}`} title={`Theme: ${WORDS[theme]} (t)`}>
    <Icon name={theme} />
  </button>
);
