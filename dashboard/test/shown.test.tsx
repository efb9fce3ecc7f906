// @vitest-environment happy-dom
import type { PipelineStatus } from "@ragpulse/client";
import { act, cleanup, renderHook } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { show } from "../src/hooks.js";
import { LONGEST_MS, QUIET_MS, useShown } from "../src/shown.js";

type States = Record<string, number | null>;

/** A pipeline with so many open files; null where its state has not come. */
const stateOf = (id: string, open: number | null): PipelineStatus | null => open === null ? null : {
  pipeline_id: id,
  counts: { queued: open, processing: 0, completed: 0, failed: 0, skipped: 0, cancelled: 0 },
} as unknown as PipelineStatus;

const mapOf = (states: States) => new Map(Object.entries(states).map(([id, open]) => [id, stateOf(id, open)]));

function open(states: States, isUp = true) {
  const view = renderHook((props: { states: States; isUp: boolean }) => useShown(mapOf(props.states), props.isUp), {
    initialProps: { states, isUp },
  });
  return {
    now: () => view.result.current,
    become: (next: States, up = true) => view.rerender({ states: next, isUp: up }),
  };
}

const pass = (millis: number): void => act(() => {
  vi.advanceTimersByTime(millis);
});

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  cleanup();
  act(() => show({ pipeline: null }, "replace"));
  vi.advanceTimersByTime(1_000);
  vi.useRealTimers();
});

test("the first that comes does not win: the busiest of those that come in a moment does, and stays", () => {
  const { now, become } = open({}, false);
  pass(10_000);
  expect(now()).toEqual({ shown: null, isSettled: false, isGone: false });
  become({ idle: 0 });
  pass(QUIET_MS - 1);
  become({ idle: 0, busy: null });
  pass(QUIET_MS);
  expect(now().shown).toBeNull();
  become({ idle: 0, busy: 5 });
  pass(QUIET_MS - 1);
  expect(now().shown).toBeNull();
  pass(1);
  expect(now()).toEqual({ shown: "busy", isSettled: true, isGone: false });
  expect(location.hash).toBe("#pipeline=busy");
  for (const others of [{ idle: 9, busy: 5 }, { idle: 9, busy: 0, another: 99 }]) {
    become(others);
    pass(QUIET_MS);
    expect(now().shown).toBe("busy");
  }
});

test("a state that does not come is not waited for long", () => {
  const { now } = open({ a: 0, b: 3, silent: null });
  pass(LONGEST_MS - 1);
  expect(now().shown).toBeNull();
  pass(1);
  expect(now().shown).toBe("b");
});

test("one that is named and gone is said to be, whatever the others do, and is shown should it come", () => {
  act(() => show({ pipeline: "gone" }, "replace"));
  const { now, become } = open({ a: 1, b: 2 });
  expect(now()).toEqual({ shown: "gone", isSettled: false, isGone: false });
  pass(QUIET_MS);
  for (const states of [{ a: 1, b: 2 }, { a: 5, b: 2 }, {}]) {
    become(states);
    pass(QUIET_MS);
    expect(now()).toEqual({ shown: "gone", isSettled: true, isGone: true });
  }
  become({ a: 5, gone: 0 });
  expect(now()).toEqual({ shown: "gone", isSettled: true, isGone: false });
});

test("one that is forgotten while it is shown is said to be gone, and another is shown when asked for", () => {
  const { now, become } = open({ a: 1, b: 2 });
  pass(QUIET_MS);
  become({ a: 1 });
  expect(now()).toEqual({ shown: "b", isSettled: true, isGone: true });
  act(() => show({ pipeline: null }));
  expect(now()).toEqual({ shown: "a", isSettled: true, isGone: false });
});

test("a hub without pipelines is told from one whose pipelines have not come", () => {
  const { now, become } = open({});
  expect(now().isSettled).toBe(false);
  pass(QUIET_MS);
  expect(now()).toEqual({ shown: null, isSettled: true, isGone: false });
  become({ first: 0 });
  expect(now().shown).toBe("first");
});
