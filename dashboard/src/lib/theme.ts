// Dark or light: as the system has it, or as was chosen and remembered.
//
// What may come in: anything a browser remembers. What it never does: write styles into the page; the style sheet does the
// rest by an attribute.
import { keep, recall } from "./memory.js";

/** What can be chosen. */
export type Theme = "system" | "light" | "dark";

/** The choices in the order in which the button goes through them. */
export const THEMES: readonly Theme[] = ["system", "light", "dark"];

/** What was chosen the last time. */
export function savedTheme(): Theme {
  const saved = recall("theme");
  return saved === "light" || saved === "dark" ? saved : "system";
}

/** Shows the page in a theme. */
export function applyTheme(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
}

/** Shows the page in a theme and remembers it. */
export function chooseTheme(theme: Theme): void {
  keep("theme", theme === "system" ? null : theme);
  applyTheme(theme);
}
