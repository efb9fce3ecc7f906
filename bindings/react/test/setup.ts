// For every test: what the page in memory lacks, and that nothing was complained about.
import { cleanup, configure } from "@testing-library/react";
import { afterEach, beforeEach, expect, vi } from "vitest";

(globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;

// How long something that is waited for may take where the machine is busy.
configure({ asyncUtilTimeout: 20_000 });

const complaints: unknown[][] = [];
beforeEach(() => {
  complaints.length = 0;
  for (const kind of ["error", "warn"] as const) vi.spyOn(console, kind).mockImplementation((...args) => void complaints.push(args));
  // The page draws nothing: every element is as high as the list that the tests scroll.
  vi.spyOn(HTMLElement.prototype, "offsetHeight", "get").mockReturnValue(540);
  vi.spyOn(HTMLElement.prototype, "offsetWidth", "get").mockReturnValue(900);
  vi.spyOn(HTMLElement.prototype, "clientHeight", "get").mockReturnValue(540);
});
afterEach(() => {
  cleanup();
  vi.useRealTimers();
  expect(complaints).toEqual([]);
});

/** What React, or anybody, has complained about; a test that expects some takes it. */
export const complained = (): unknown[][] => complaints.splice(0);
