// Components in a page in memory, with a real store over a hub in memory that is another for each test.
//
// What may come in: any component. What it never does: draw colours, so axe is not asked about them.
import { act, render } from "@testing-library/react";
import axe from "axe-core";
import type { ReactNode } from "react";
import { afterEach, beforeEach, vi } from "vitest";

import { PipelineStatusProvider } from "../src/index.js";
import { Hub } from "./hub.js";

/** The hub of this test. */
export let hub: Hub;
beforeEach(() => {
  hub = new Hub();
});
afterEach(() => void vi.useRealTimers());

/** Draws something that follows the hub. */
export const show = (children: ReactNode) => render(<main><PipelineStatusProvider {...hub.options}>{children}</PipelineStatusProvider></main>);

/** What axe finds, but for colours, which nothing here draws. */
export async function violations(): Promise<string[]> {
  const rules = { "color-contrast": { enabled: false }, region: { enabled: false } };
  const { violations } = await act(() => axe.run(document.body, { rules }));
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}
