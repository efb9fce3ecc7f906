// Text from outside, made fit to be shown.
//
// What may come in: any text, such as names of files and messages of foreign libraries. What it never does: make markup.
import type { ErrorInfo, FileStatus } from "@ragpulse/client";

const MARKS = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** One line: control and direction marks, which would let a name rearrange or break the line it stands in, become visible. */
export const shown = (text: string): string => text.replace(/[\t\n\r]+/g, " ").replace(MARKS, "\uFFFD");

/** The same for several lines. */
export const shownLines = (text: string): string => text.split(/\r?\n/).map(shown).join("\n");

/** A file's name; it may be empty. */
export const nameOf = (file: Pick<FileStatus, "name">): string => shown(file.name) || "(no name)";

/** Where a file lies, without its name, which stands above it. */
export function placeOf({ name, path }: Pick<FileStatus, "name" | "path">): string {
  if (!path || path === name) return "";
  return shown(path.endsWith(`/${name}`) ? path.slice(0, -name.length - 1) : path);
}

/** What kind of failure it was, and where. */
export const kindOf = (error: Pick<ErrorInfo, "type" | "stage">): string =>
  shown(error.stage ? `${error.type} in ${error.stage}` : error.type);
