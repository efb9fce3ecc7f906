import type { Code } from "@ragpulse/client";
import { expect, test } from "vitest";
import { isTokenWanting, titleOf } from "../src/lib/refusals.js";

test("a hub that has answered is not called out of reach", () => {
  const rejected = (code: Code) => ({ kind: "rejected", code, message: "m" }) as const;
  const codes: Code[] = ["forbidden", "unauthorized", "foreign_origin", "foreign_host", "limit_exceeded"];
  const titles = codes.map((code) => titleOf(rejected(code)));
  for (const title of [...titles, titleOf({ kind: "failed", message: "HTTP 403" })]) expect(title).not.toMatch(/reached/);
  expect(new Set(titles).size).toBe(5);
  expect(codes.filter((code) => isTokenWanting(rejected(code)))).toEqual(["forbidden", "unauthorized"]);
});

test("one that has not is", () => {
  const title = "The hub cannot be reached";
  expect([titleOf(null), titleOf({ kind: "failed", message: "fetch failed" }), titleOf({ kind: "silence", afterMs: 1 })]).toEqual([title, title, title]);
});
