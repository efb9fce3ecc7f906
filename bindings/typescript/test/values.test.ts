// The table of files, and times.
import { expect, test } from "vitest";

import { byCodePoint, FileTable } from "../src/files.js";
import type { FileState, FileStatus } from "../src/generated/index.js";
import { utc } from "../src/time.js";

test("a table lists by seq and evicts the newest open and the oldest ended files", () => {
  const file = (id: string, state: FileState, seq: number): FileStatus => ({ id, name: id, state, seq, attempt: 1 });
  const table = new FileTable([file("e2", "failed", 8), file("q1", "queued", 3), file("e1", "completed", 4)]);
  table.insert(file("p1", "processing", 9));
  table.insert(file("q2", "queued", 10));
  table.insert(file("e3", "skipped", 11));
  const ids = (): string[] => table.inOrder().map(({ id }) => id);
  expect(ids()).toEqual(["q1", "e1", "e2", "p1", "q2", "e3"]);
  table.evict({ open: 1, ended: 2 });
  expect(ids()).toEqual(["q1", "e2", "p1", "e3"]);
  table.evict({ open: 0, ended: 0 });
  expect(table.inOrder()).toEqual([]);
});

test("strings sort by code point, not by UTF-16 unit", () => {
  expect(["\u{1F600}", "\uFF5E", "a", ""].sort(byCodePoint)).toEqual(["", "a", "\uFF5E", "\u{1F600}"]);
});

test.each([
  ["2026-01-31T09:30:00Z", "2026-01-31T09:30:00.000Z"],
  ["2026-01-31T09:30:00.123456+02:00", "2026-01-31T07:30:00.123Z"],
  ["2026-01-31t09:30:00.5z", "2026-01-31T09:30:00.500Z"],
  ["1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"],
])("the time %s is %s", (given, expected) => expect(utc(given)).toBe(expected));

test.each([
  "2026-01-31T09:30:00", "2026-01-31", "", "yesterday", 1769851800, null, "2026-13-01T00:00:00Z", "2026-02-30T09:30:00Z",
  "20260131T093000+00:00", "2026-01-31T09:30Z", "2026-01-31T09:30:00+02", "2026-01-31T09:30:00+0200",
  "2026-01-31T09:30:00+24:00", "2026-01-31T09:30:00,5Z", "2026-01-31T24:00:00Z",
])("%s is no time", (bad) => expect(utc(bad)).toBeUndefined());
