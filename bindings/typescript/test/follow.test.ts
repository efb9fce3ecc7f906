// Which pipelines a machine follows: by name, by scope, asked for later and let go; and states to begin with.
import { describe, expect, test } from "vitest";

import type { PhaseName } from "../src/machine/index.js";
import { Bench, event, snapshot, status } from "./setup.js";

const kinds = (bench: Bench) => bench.updates.filter(({ kind }) => kind !== "connection").map((update) => ("pipeline" in update ? `${update.kind} ${update.pipeline}` : update.kind));

describe("by scope", () => {
  test.each([
    ["all", { all: true }, { all: true }],
    ["a type", { pipeline_type: "t" }, { pipeline_type: "t" }],
  ] as const)("of %s: one question for it, and later pipelines are followed from their first event", (_, scope, asked) => {
    const bench = new Bench({ pipelines: [], scope }).open();
    expect(bench.last("subscribe").request).toMatchObject({ ...asked, pipeline_ids: [] });
    bench.receive(snapshot("a", 5));
    bench.acknowledge([{ pipeline_id: "a", recovered: false, replayed: 0 }]);
    expect(bench.machine.phase).toBe("live");
    bench.receive(event("b", 1));
    bench.receive(event("b", 2));
    expect([bench.machine.pipelines, bench.cursor("b")]).toEqual([["a", "b"], { epoch: "e", seq: 2 }]);
    expect(kinds(bench)).toEqual(["snapshot a", "event b", "event b"]);
  });

  test("a pipeline of another type is none of ours", () => {
    const bench = new Bench({ pipelines: [], scope: { pipeline_type: "t" } }).live();
    bench.receive(snapshot("a", 5, { pipeline_type: "other" }));
    bench.receive(event("b", 1, { type: "other" }));
    expect([bench.machine.pipelines, kinds(bench)]).toEqual([[], []]);
  });

  test("neither a heartbeat nor an end begins one", () => {
    const bench = new Bench({ pipelines: [], scope: { all: true } }).live();
    bench.receive({ event: "heartbeat", data: { ...event("a", 9).data, status: "alive", liveness: "live" } });
    bench.receive(event("b", 3, { name: "pipeline:removed" }));
    expect([bench.machine.pipelines, kinds(bench)]).toEqual([[], []]);
  });

  test("one that is removed is dropped, and may come back from its first event", () => {
    const bench = new Bench({ pipelines: ["named"], scope: { all: true } }).live();
    for (const id of ["a", "named"]) bench.receive(event(id, 1));
    for (const id of ["a", "named"]) bench.receive(event(id, 2, { name: "pipeline:removed" }));
    expect(bench.machine.pipelines).toEqual(["named"]);
    bench.receive(event("a", 1, { epoch: "f" }));
    expect(bench.cursor("a")).toEqual({ epoch: "f", seq: 1 });
    expect(kinds(bench)).toEqual(["event a", "event named", "removed a", "removed named", "event a"]);
  });

  test("what is only in the scope is asked for by its cursor, not by its name; one the hub has forgotten is dropped", () => {
    const bench = new Bench({ pipelines: ["named"], scope: { all: true }, initial: [status("a", 4), status("gone", 7)] }).open();
    expect(bench.last("subscribe").request).toMatchObject({
      all: true, pipeline_ids: ["named"], cursors: { a: { epoch: "e", seq: 4 }, gone: { epoch: "e", seq: 7 } },
    });
    bench.acknowledge([
      { pipeline_id: "a", recovered: true, replayed: 0 },
      { pipeline_id: "gone", recovered: false, replayed: 0, reason: "unknown_pipeline" },
      { pipeline_id: "named", recovered: false, replayed: 0, reason: "unknown_pipeline" },
    ]);
    expect(bench.machine.pipelines).toEqual(["named", "a"]);
    expect(kinds(bench)).toEqual(["removed gone"]);
  });

  test("one of the scope that the hub does not answer for is gone: it was forgotten while nobody listened", () => {
    const bench = new Bench({ pipelines: [], scope: { all: true }, initial: [status("a", 4), status("gone", 7)] }).open();
    bench.acknowledge([{ pipeline_id: "a", recovered: true, replayed: 0 }]);
    expect(bench.machine.pipelines).toEqual(["a"]);
    expect(kinds(bench)).toEqual(["removed gone"]);
  });

  test("one that the hub has forgotten while only a snapshot would have helped is dropped as well", () => {
    for (const scope of [{ all: true }, null] as const) {
      const bench = new Bench({ pipelines: scope ? [] : ["a"], scope, initial: [status("a", 4)] }).open();
      bench.acknowledge([{ pipeline_id: "a", recovered: true, replayed: 0 }]);
      bench.give({ type: "pong", conn: bench.conn });
      bench.give({ type: "bad_message", conn: bench.conn, pipeline: "a" });
      bench.pass(1_000);
      expect(bench.last("subscribe").request.cursors).toBeUndefined();
      bench.acknowledge([{ pipeline_id: "a", recovered: false, replayed: 0, reason: "unknown_pipeline" }]);
      expect([bench.machine.state("a"), bench.machine.pipelines]).toEqual([null, scope ? [] : ["a"]]);
    }
  });

  test("refused for good as a whole, it is closed", () => {
    const bench = new Bench({ pipelines: [], scope: { all: true } }).open();
    bench.refuse("forbidden");
    expect(bench.machine.status).toMatchObject({ state: "closed", cause: { kind: "rejected", code: "forbidden" } });
  });

  test("while polling the hub is asked which there are, soon again while there are none", () => {
    const bench = new Bench({ pipelines: [], scope: { pipeline_type: "t" }, transport: "polling" });
    bench.give({ type: "start" });
    expect(bench.all("list")).toHaveLength(1);
    bench.list(["other", "u"]);
    expect([bench.machine.pipelines, bench.machine.status.state]).toEqual([[], "polling"]);
    bench.pass(2_000);
    expect(bench.all("list")).toHaveLength(2);
    bench.list(["a", "t"], ["other", "u"]);
    expect(bench.polls("a")).toHaveLength(1);
    expect(bench.polls("other")).toHaveLength(0);
    bench.answer("a", [snapshot("a", 3)]);
    bench.pass(9_000);
    expect(bench.all("list")).toHaveLength(2);
    bench.pass(1_100);
    expect(bench.all("list")).toHaveLength(3);
    bench.give({ type: "listed", list: 2, pipelines: [{ pipeline_id: "late", pipeline_type: "t" }], code: null, message: "" });
    expect(bench.machine.pipelines, "an answer that is not waited for").toEqual(["a"]);
  });

  test("while polling a failed list says so, rests for longer each time, and is followed by a good one", () => {
    const bench = new Bench({ pipelines: [], scope: { all: true }, transport: "polling" });
    bench.give({ type: "start" });
    const fail = () => bench.give({ type: "listed", list: bench.last("list").list, pipelines: null, code: null, message: "no route" });
    fail();
    expect(bench.machine.status).toEqual({ state: "waiting", cause: { kind: "failed", message: "no route" } });
    const first = bench.machine.deadline! - bench.now;
    bench.pass(first);
    fail();
    expect(bench.machine.deadline! - bench.now).toBeGreaterThan(first);
    bench.give({ type: "online" });
    bench.list();
    expect(bench.machine.status).toEqual({ state: "polling", cause: { kind: "chosen" } });
  });

  test("a list that the hub refuses for good ends it, and one that it refuses for now does not", () => {
    for (const [code, state] of [["overloaded", "waiting"], ["unauthorized", "closed"]] as const) {
      const bench = new Bench({ pipelines: [], scope: { all: true }, transport: "polling" });
      bench.give({ type: "start" });
      bench.give({ type: "listed", list: bench.last("list").list, pipelines: null, code, message: "no" });
      expect(bench.machine.status).toEqual({ state, cause: { kind: "rejected", code, message: "no" } });
    }
  });

  test("a polled pipeline of the scope that the hub has forgotten is polled no more", () => {
    const bench = new Bench({ pipelines: [], scope: { all: true }, transport: "polling", initial: [status("a", 4)] });
    bench.give({ type: "start" });
    bench.answer("a", [], { unknown: true });
    expect(bench.machine.pipelines).toEqual([]);
    bench.pass(60_000);
    expect(bench.polls("a")).toHaveLength(1);
    expect(kinds(bench)).toEqual(["removed a"]);
  });
});

test("what is let go is not asked for again, and nothing is asked for nothing", () => {
  const ways: [string, (bench: Bench) => void][] = [
    ["unreadable, then let go", (bench) => {
      bench.give({ type: "bad_message", conn: bench.conn, pipeline: "b" });
      bench.give({ type: "unfollow", pipelines: ["b"] });
    }],
    ["ended for now, then for good", (bench) => {
      bench.receive({ event: "subscription:ended", data: { pipeline_id: "b", code: "overloaded" } });
      bench.receive({ event: "subscription:ended", data: { pipeline_id: "b", code: "forbidden" } });
    }],
  ];
  for (const [name, happens] of ways) {
    const bench = new Bench({ pipelines: ["a", "b"] }).live();
    const before = bench.all("subscribe").length;
    happens(bench);
    bench.pass(30_000);
    expect(bench.all("subscribe").slice(before), name).toEqual([]);
  }
});

test("what a hub says of one pipeline does not say that polls fail", () => {
  const bench = new Bench({ pipelines: ["a", "b"], transport: "polling" });
  bench.give({ type: "start" });
  bench.answer("a", [snapshot("a", 1)]);
  const { poll } = bench.polls("b").at(-1)!;
  bench.give({ type: "poll_failed", poll, pipeline: "b", code: "forbidden", message: "no", retryAfterMs: null });
  expect(bench.machine.status).toEqual({ state: "polling", cause: { kind: "chosen" } });
});

describe("asked for later", () => {
  test("follow subscribes to what is new only, and from its cursor", () => {
    const bench = new Bench({ initial: [status("p", 3)] }).live();
    const before = bench.all("subscribe").length;
    bench.give({ type: "follow", pipelines: ["p", "q"] });
    expect(bench.all("subscribe")).toHaveLength(before + 1);
    expect(bench.last("subscribe").request.pipeline_ids).toEqual(["q"]);
    expect(bench.last("subscribe").request.cursors).toBeUndefined();
    bench.receive(snapshot("q", 9));
    expect(bench.cursor("q")).toEqual({ epoch: "e", seq: 9 });
  });

  test("unfollow unsubscribes, drops the state and tells; what still comes is not followed", () => {
    const bench = new Bench({ pipelines: ["p", "q"] }).live();
    bench.receive(event("p", 1));
    bench.give({ type: "unfollow", pipelines: ["p", "unheard of"] });
    expect(bench.last("unsubscribe").pipelines).toEqual(["p"]);
    bench.receive(event("p", 2));
    expect([bench.machine.pipelines, bench.machine.state("p")]).toEqual([["q"], null]);
    expect(kinds(bench)).toEqual(["event p", "removed p"]);
  });

  test("one in the scope stays when its name is let go", () => {
    const bench = new Bench({ pipelines: [], scope: { all: true } }).live();
    bench.receive(event("a", 1));
    bench.give({ type: "follow", pipelines: ["a"] });
    bench.give({ type: "unfollow", pipelines: ["a"] });
    expect(bench.machine.pipelines).toEqual(["a"]);
    expect(bench.all("unsubscribe")).toEqual([]);
  });

  test("one that is forbidden ends alone: those asked for with it are asked for one by one", () => {
    const bench = new Bench({ pipelines: ["p"] }).live();
    bench.give({ type: "follow", pipelines: ["a", "secret", "b"] });
    expect(bench.last("subscribe").request.pipeline_ids).toEqual(["a", "secret", "b"]);
    bench.refuse("forbidden");
    const asked: unknown[] = [];
    for (let question = 0; question < 3; question += 1) {
      const [id] = bench.last("subscribe").request.pipeline_ids!;
      asked.push(id);
      if (id === "secret") bench.refuse("forbidden");
      else bench.acknowledge([{ pipeline_id: id!, recovered: false, replayed: 0 }]);
    }
    expect(asked).toEqual(["a", "secret", "b"]);
    expect(kinds(bench)).toEqual(["ended secret"]);
    expect([bench.machine.phase, bench.machine.pipelines]).toEqual(["live", ["p", "a", "b"]]);
  });

  test("one that is forbidden among those that were named at first ends alone too, once one was asked for later", () => {
    const bench = new Bench({ pipelines: ["p"] });
    bench.give({ type: "follow", pipelines: ["secret"] });
    bench.open();
    bench.refuse("forbidden");
    expect(bench.last("subscribe").request.pipeline_ids).toEqual(["p"]);
    bench.acknowledge();
    bench.refuse("forbidden");
    expect(bench.machine.pipelines).toEqual(["p"]);
    expect(bench.machine.phase).toBe("live");
  });

  test("a scope goes on where one that was named beside it is forbidden, and is closed where it is refused itself", () => {
    const bench = new Bench({ pipelines: ["p", "secret"], scope: { all: true } }).open();
    bench.refuse("forbidden");
    expect(bench.last("subscribe").request).toMatchObject({ all: true, pipeline_ids: [] });
    bench.acknowledge();
    expect(bench.machine.phase, "not all is answered yet").toBe("joining");
    expect(bench.last("subscribe").request).toMatchObject({ pipeline_ids: ["p"] });
    bench.acknowledge();
    bench.refuse("forbidden");
    expect([bench.machine.phase, kinds(bench)]).toEqual(["live", ["ended secret"]]);
    const closed = new Bench({ pipelines: ["p"], scope: { all: true } }).open();
    closed.refuse("forbidden");
    closed.refuse("forbidden");
    expect(closed.machine.status).toMatchObject({ state: "closed", cause: { code: "forbidden" } });
  });

  test("a token that is not taken closes everything at once, and what may succeed later is tried later", () => {
    const bench = new Bench({ pipelines: ["p", "q"] }).open();
    expect(bench.refuse("overloaded").map(({ type }) => type)).toContain("close_socket");
    expect(bench.machine.phase).toBe("waiting");
    const other = new Bench({ pipelines: ["p", "q"] }).open();
    other.refuse("unauthorized");
    expect(other.machine.status).toMatchObject({ state: "closed", cause: { kind: "rejected", code: "unauthorized" } });
  });

  test("the last one of those that were named at first ends everything where nobody asked for others", () => {
    const bench = new Bench({ pipelines: ["a", "b"] }).open();
    bench.refuse("forbidden");
    bench.refuse("forbidden");
    expect(bench.machine.phase).toBe("joining");
    bench.refuse("forbidden");
    expect([bench.machine.status.state, kinds(bench)]).toEqual(["closed", ["ended a", "ended b"]]);
  });

  test("while polling one that is forbidden ends, and the last one closes nothing where others may be asked for", () => {
    const bench = new Bench({ pipelines: [], transport: "polling" });
    bench.give({ type: "start" });
    expect(bench.machine.status.state).toBe("polling");
    bench.give({ type: "follow", pipelines: ["secret"] });
    const { poll } = bench.last("poll");
    bench.give({ type: "poll_failed", poll, pipeline: "secret", code: "forbidden", message: "no", retryAfterMs: null });
    expect([bench.machine.phase, kinds(bench)]).toEqual(["polling", ["ended secret"]]);
    bench.give({ type: "follow", pipelines: ["p"] });
    expect(bench.polls("p")).toHaveLength(1);
  });

  test("with nothing to follow a socket is live without a subscription, and still pinged", () => {
    const bench = new Bench({ pipelines: [] }).live();
    expect([bench.machine.phase, bench.all("subscribe")]).toEqual(["live", []]);
    expect(bench.all("ping")).toHaveLength(1);
    bench.give({ type: "follow", pipelines: ["p"] });
    expect(bench.last("subscribe").request.pipeline_ids).toEqual(["p"]);
  });

  const phases: Record<string, (bench: Bench) => unknown> = {
    idle: () => {},
    asking: (bench) => bench.give({ type: "start" }),
    connecting: (bench) => [bench.give({ type: "start" }), bench.give({ type: "not_advised", ask: 1 })],
    waiting: (bench) => [phases["connecting"]!(bench), bench.give({ type: "socket_lost", conn: 1, message: "" })],
    joining: (bench) => bench.open(),
    live: (bench) => bench.live(),
    polling: (bench) => [phases["connecting"]!(bench), bench.give({ type: "socket_refused", conn: 1, code: null, message: "", retryable: true })],
  };
  test.each(Object.keys(phases))("in %s: followed and let go leaves what was there, and comes to a state in the end", (phase) => {
    const bench = new Bench({ pipelines: ["p"] });
    phases[phase]!(bench);
    expect(bench.machine.phase).toBe(phase as PhaseName);
    bench.give({ type: "follow", pipelines: ["q", "r"] });
    bench.give({ type: "unfollow", pipelines: ["r"] });
    expect([bench.machine.phase, bench.machine.pipelines]).toEqual([phase, ["p", "q"]]);
    if (phase === "polling") {
      expect(bench.polls("q")).toHaveLength(1);
      expect(bench.all("stop_polls").flatMap(({ pipelines }) => pipelines)).toEqual(["r"]);
    }
  });
});

describe("states to begin with", () => {
  test("are there at once, and gone on from without a snapshot", () => {
    const bench = new Bench({ pipelines: ["p"], initial: [status("p", 41)] });
    expect(bench.cursor("p")).toEqual({ epoch: "e", seq: 41 });
    bench.open();
    expect(bench.last("subscribe").request.cursors).toEqual({ p: { epoch: "e", seq: 41 } });
    bench.receive(event("p", 42));
    expect(kinds(bench)).toEqual(["event p"]);
  });

  test("of a pipeline that is not followed are left out", () => {
    expect(new Bench({ pipelines: ["p"], initial: [status("q", 1)] }).machine.pipelines).toEqual(["p"]);
  });

  test("begin polls as well", () => {
    const bench = new Bench({ pipelines: ["p"], initial: [status("p", 41)], transport: "polling" });
    bench.give({ type: "start" });
    expect(bench.last("poll").cursor).toEqual({ epoch: "e", seq: 41 });
  });
});

describe("intervals", () => {
  const intervals = { busyMs: 5_000, idleMs: 10_000, offlineMs: 30_000 };
  const counts = { queued: 1, processing: 0, completed: 0, failed: 0, skipped: 0, cancelled: 0 };
  test.each([
    ["busy", { counts }, 5_000],
    ["idle", {}, 10_000],
    ["offline", { liveness: "offline" as const, counts }, 30_000],
    ["lost", { liveness: "lost" as const }, 30_000],
  ])("a %s pipeline is polled after its own, and never held", (_, more, expected) => {
    const bench = new Bench({ intervals, transport: "polling" });
    bench.give({ type: "start" });
    bench.answer("p", [snapshot("p", 1, more)]);
    expect(bench.machine.deadline! - bench.now).toBe(expected);
    bench.pass(expected);
    expect(bench.polls("p").map(({ waitSeconds }) => waitSeconds)).toEqual([0, 0]);
  });

  test("one that the hub does not know is polled as an offline one", () => {
    const bench = new Bench({ intervals, transport: "polling" });
    bench.give({ type: "start" });
    bench.answer("p", [], { unknown: true });
    expect(bench.machine.deadline! - bench.now).toBe(30_000);
  });
});

test("an answer that brings the same again, as from a cache, is not asked for again at once", () => {
  const bench = new Bench({ transport: "polling" });
  bench.give({ type: "start" });
  bench.answer("p", [snapshot("p", 1)]);
  for (let again = 0; again < 3; again += 1) bench.answer("p", [snapshot("p", 1)]);
  bench.pass(10);
  expect(bench.polls("p").length).toBeLessThanOrEqual(3);
});

describe("a hidden page", () => {
  test("polls every fifteen seconds at most, and catches up when it is seen again", () => {
    const bench = new Bench({ transport: "polling" });
    bench.give({ type: "start" });
    bench.give({ type: "hidden" });
    bench.answer("p", [snapshot("p", 1)]);
    expect(bench.machine.deadline! - bench.now).toBe(15_000);
    bench.pass(100);
    bench.give({ type: "visible" });
    expect(bench.polls("p")).toHaveLength(2);
    expect(bench.last("poll").cursor).toEqual({ epoch: "e", seq: 1 });
  });

  test("that slept with an open question is not told that the socket is silent before it has answered", () => {
    const bench = new Bench().live();
    bench.pass(5_000);
    expect(bench.all("ping")).toHaveLength(2);
    bench.now += 3_600_000;
    bench.give({ type: "caught_up" });
    bench.give({ type: "tick" });
    expect(bench.machine.phase).toBe("live");
    bench.pass(3_000);
    expect(bench.machine.phase).not.toBe("live");
  });
});
