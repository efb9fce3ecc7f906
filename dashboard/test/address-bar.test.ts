import { beforeEach, expect, test, vi } from "vitest";
import { AddressBar, WRITE_EVERY_MS } from "../src/lib/address-bar.js";

beforeEach(() => {
  vi.useFakeTimers();
  return () => {
    vi.useRealTimers();
  };
});

function fakeBar(hash = "") {
  const entries = [{ hash, state: null as unknown }];
  const listeners = new Map<string, () => void>();
  const bar = { isFull: false, writes: 0 };
  const write = (change: () => void): void => {
    if (bar.isFull) throw new DOMException("too many", "SecurityError");
    bar.writes += 1;
    change();
  };
  const last = () => entries.at(-1) ?? { hash: "", state: null };
  const address = new AddressBar({
    location: { get hash() { return last().hash; } },
    history: {
      get state() { return last().state; },
      pushState: (state: unknown, _: string, url?: string | URL | null) => write(() => entries.push({ hash: String(url), state })),
      replaceState: (state: unknown, _: string, url?: string | URL | null) => write(() => entries.splice(-1, 1, { hash: String(url), state })),
      back: () => {
        entries.pop();
        listeners.get("popstate")?.();
      },
    },
    addEventListener: (name, listener) => listeners.set(name, listener),
  });
  return { address, bar, hashes: () => entries.map((entry) => entry.hash), fire: (name: string) => listeners.get(name)?.() };
}

test("keys are shown at once, and written at most every so often, the last of them for sure", () => {
  const { address, bar, hashes } = fakeBar("#pipeline=p");
  const seen: string[] = [];
  address.subscribe(() => seen.push(address.view.query));
  const text = "x".repeat(100);
  for (let length = 1; length <= 100; length += 1) {
    address.show({ query: text.slice(0, length) }, "replace");
    expect(address.view).toBe(address.view);
    vi.advanceTimersByTime(30);
  }
  expect([seen.length, seen.at(-1)]).toEqual([100, text]);
  vi.advanceTimersByTime(WRITE_EVERY_MS);
  expect(hashes()).toEqual([`#pipeline=p&q=${text}`]);
  expect(bar.writes).toBeLessThanOrEqual(3_000 / WRITE_EVERY_MS + 1);
});

test("an address that a browser does not take is shown all the same, and written later", () => {
  const { address, bar, hashes } = fakeBar();
  bar.isFull = true;
  address.show({ query: "a" }, "replace");
  address.show({ file: "f" }, "push");
  expect([address.view.query, address.view.file, hashes()]).toEqual(["a", "f", [""]]);
  bar.isFull = false;
  vi.advanceTimersByTime(WRITE_EVERY_MS);
  expect(hashes()).toEqual(["#q=a&file=f"]);
});

test("who comes back finds what was left, and who goes elsewhere is not called back", () => {
  const { address, hashes, fire } = fakeBar();
  address.show({ query: "a" }, "replace");
  address.show({ query: "ab" }, "replace");
  address.show({ file: "f" }, "push");
  expect(hashes()).toEqual(["#q=ab", "#q=ab&file=f"]);
  address.back({ file: null });
  expect([address.view.query, address.view.file]).toEqual(["ab", null]);
  // Not from here: shown in its place.
  address.back({ query: "c" });
  expect(address.view.query).toBe("c");
  fire("hashchange");
  vi.advanceTimersByTime(WRITE_EVERY_MS);
  expect([address.view.query, hashes()]).toEqual(["ab", ["#q=ab"]]);
});

test("what is not written yet is when the page is left", () => {
  const { address, hashes, fire } = fakeBar();
  address.show({ query: "a" }, "replace");
  address.show({ query: "ab" }, "replace");
  fire("pagehide");
  expect(hashes()).toEqual(["#q=ab"]);
});
