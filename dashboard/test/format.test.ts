import { expect, test } from "vitest";
import { ago, bytes, clockSpan, dateAndTime, millis, percent, quantity, span, timeOfDay, words } from "../src/lib/format.js";
import { nameOf, placeOf, shown, shownLines } from "../src/lib/text.js";

const plain = (text: string): string => text.replaceAll(",", ".");

test("spans of time have one or two units", () => {
  const cases: [number, string][] = [
    [0, "0 s"], [0.0004, "1 ms"], [0.023, "23 ms"], [0.42, "0.4 s"], [9.96, "10 s"], [59.6, "1 min"], [200, "3 min 20 s"], [600, "10 min"],
    [3_660, "1 h 1 min"], [7_200, "2 h"], [200_000, "2 d"], [-5, "0 s"], [NaN, "–"], [Infinity, "–"],
  ];
  for (const [seconds, text] of cases) expect(plain(span(seconds)), String(seconds)).toBe(text);
  expect(clockSpan(12.9)).toBe("12 s");
  expect(clockSpan(-3)).toBe("0 s");
  expect(millis(0.2)).toBe("1 ms");
  expect(plain(millis(1_240))).toBe("1.2 s");
});

test("100 % is said only of all of it", () => {
  expect(percent(0.9999)).toBe("99 %");
  expect(percent(1)).toBe("100 %");
});

test("sizes, amounts, words and times", () => {
  expect(bytes(999)).toBe("999 B");
  expect(plain(bytes(1_500))).toBe("1.5 kB");
  expect(bytes(4_812_000_000_000_000)).toMatch(/TB$/);
  expect(quantity(1, "chunk")).toBe("1 chunk");
  expect(quantity(2, "chunk")).toBe("2 chunks");
  expect(words("google_drive")).toBe("Google drive");
  expect(ago(1_000, 1_900)).toBe("now");
  expect(ago(1_000, 64_000)).toBe("1 min 3 s ago");
  expect(timeOfDay("nonsense")).toBe("–");
  expect(dateAndTime("2026-01-31T09:30:00.000Z")).toMatch(/2026/);
});

test("marks that would rearrange a line are visible, and lines stay lines where they may", () => {
  expect(shown("invoice\u202egpj.exe")).toBe("invoice\uFFFDgpj.exe");
  expect(shown("a\r\n\tb\u0000\u2028")).toBe("a b\uFFFD\uFFFD");
  expect(shownLines("one\r\ntwo\u0007")).toBe("one\ntwo\uFFFD");
  expect(shown("\u0645\u0644\u0641.pdf \u{1f469}\u200d\u{1f680}")).toBe("\u0645\u0644\u0641.pdf \u{1f469}\u200d\u{1f680}");
  expect(nameOf({ name: "" })).toBe("(no name)");
  expect(placeOf({ name: "a.txt", path: "x/y/a.txt" })).toBe("x/y");
  expect(placeOf({ name: "a.txt", path: "a.txt" })).toBe("");
  expect(placeOf({ name: "a.txt" })).toBe("");
});
