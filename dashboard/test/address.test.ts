import { expect, test } from "vitest";
import { FILTERS, readView, type View, writeView } from "../src/lib/address.js";

const NOTHING: View = { pipeline: null, filter: "all", query: "", file: null };

test("a view comes back from its address, whatever is in it", () => {
  for (const filter of FILTERS) {
    for (const text of ["", "a b", "ä&=#%?+/", "\u202e\u0000", "x".repeat(200)]) {
      const view: View = { pipeline: "docs.v-1_2", filter, query: text, file: text || null };
      expect(readView(writeView(view))).toEqual(view);
    }
  }
  expect(writeView(NOTHING)).toBe("#");
});

test("what is not understood is as if it were not there", () => {
  expect(readView("")).toEqual(NOTHING);
  expect(readView("#state=exploded&pipeline=&file=&token=secret")).toEqual(NOTHING);
  expect(readView(`#q=${"y".repeat(5_000)}`).query).toHaveLength(200);
  expect(readView("#%E0%A4%A").pipeline).toBeNull();
});
