// Pages that a server draws first: what it draws, and that a page goes on from it without a complaint.
import { act, screen, waitFor } from "@testing-library/react";
import { StrictMode, version } from "react";
import { version as domVersion } from "react-dom";
import { hydrateRoot, type Root } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { AT, Hub } from "./hub.js";
import { initial, Page } from "./page.js";

/** Draws as a server does: with modules that never saw a page, and in another zone. */
async function onServer(hub: Hub): Promise<string> {
  for (const name of ["document", "location", "window"]) vi.stubGlobal(name, undefined);
  vi.resetModules();
  const zone = process.env["TZ"];
  process.env["TZ"] = "Asia/Tokyo";
  try {
    const server = await import("./page.js");
    return renderToString(<server.Page hub={hub} />);
  } finally {
    process.env["TZ"] = zone;
    vi.unstubAllGlobals();
  }
}

let hub: Hub;
let root: Root | undefined;
beforeEach(() => {
  hub = new Hub();
  hub.put(initial[0]!);
});
afterEach(() => {
  act(() => root?.unmount());
  document.body.replaceChildren();
});

test("these are the versions of React that are meant", () => {
  expect([version, domVersion].map((one) => one.split(".")[0])).toEqual([process.env["REACT"], process.env["REACT"]]);
});

test("a server draws the first states and opens nothing", async () => {
  const html = await onServer(hub);
  expect(html).toContain("docs 1 0.5 connecting null");
  expect(html).toContain("a.pdf");
  expect(html).toContain("Jan 31, 2026, 09:30:00 UTC");
  await new Promise((go) => setTimeout(go, 20));
  expect([hub.opened, hub.requests.length]).toEqual([0, 0]);
});

test("a page shows the same as its server when it begins, and goes on from there", async () => {
  const html = await onServer(hub);
  const container = document.createElement("div");
  document.body.append(container);
  container.innerHTML = html;
  const complaints: unknown[] = [];
  vi.useFakeTimers({ toFake: ["Date"], now: Date.parse(AT) + 86_400_000 });
  act(() => {
    root = hydrateRoot(container, <StrictMode><Page hub={hub} /></StrictMode>, { onRecoverableError: (error) => complaints.push(error) });
  });
  expect(complaints).toEqual([]);
  vi.useRealTimers();
  await waitFor(() => expect(screen.getByText(/websocket/).textContent).toContain("docs 1 0.5 websocket"));
  // From the state that the server gave.
  expect(hub.subscribes[0]).toMatchObject({ cursors: { docs: { epoch: "e1", seq: 3 } } });
  act(() => hub.publish("docs", "file:progress", { file: { id: "a", name: "a.pdf" }, progress: 0.75, processing_stage: "embedding" }));
  await waitFor(() => expect(screen.getByText(/websocket/).textContent).toContain("docs 1 0.75"));
});
