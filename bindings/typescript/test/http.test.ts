// Requests against a real server: what a hub says, what a proxy says, and what nobody says.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { fetchInitialState, HubError, listFiles, listHistory } from "../src/index.js";
import { Endpoint } from "../src/endpoint.js";
import type { ClientStatus } from "../src/generated/index.js";
import { Http } from "../src/http.js";
import { AT, event, status } from "./setup.js";

let server: Server;
let url: string;
let answer: (request: IncomingMessage, response: ServerResponse) => void;
let asked: IncomingMessage[] = [];
const json = (body: unknown, code = 200, headers = {}) => (_: unknown, response: ServerResponse): void => {
  response.writeHead(code, { "content-type": "application/json", ...headers }).end(typeof body === "string" ? body : JSON.stringify(body));
};
const problem = (code: string, status: number, headers = {}) => json({ type: "about:blank", title: "no", detail: "why not", code }, status, headers);

beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push(request);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => void (asked = []));

const http = (more: { address?: string; token?: string } = {}): Http =>
  new Http({ endpoint: new Endpoint(more.address ?? url, more.token), HubError });
const poll = (cursor: { epoch: string; seq: number } | null = null, waitSeconds = 0, report: ClientStatus | null = null, under = new AbortController()) =>
  http({ token: "secret" }).ask({ type: "poll", poll: 1, pipeline: "p", cursor, waitSeconds }, under, report);

describe("a poll", () => {
  test("asks from the cursor, with token and report, and reads events", async () => {
    answer = json({ epoch: "e", seq: 2, up_to_date: true, events: [event("p", 1), event("p", 2)] });
    expect(await poll({ epoch: "e f", seq: 0 }, 25, { client_id: "клиент", status: "active" })).toEqual({
      type: "poll_answered", poll: 1, pipeline: "p", messages: [event("p", 1), event("p", 2)], bad: false, unknown: false,
    });
    expect(asked[0]?.url).toBe("/api/pipelines/p/events?wait=25&epoch=e+f&seq=0");
    expect(asked[0]?.headers).toMatchObject({ authorization: "Bearer secret", "ragpulse-client-status": String.raw`{"client_id":"\u043a\u043b\u0438\u0435\u043d\u0442","status":"active"}`, accept: "application/json" });
    answer = json({ epoch: "e", seq: 0, events: [], reason: "unknown_pipeline" });
    expect(await poll(null, 0, { client_id: "c".repeat(1_100), status: "active" }), "too long for a header").toMatchObject({ messages: [], unknown: true });
    expect(asked[1]?.headers["ragpulse-client-status"]).toBeUndefined();
  });

  test("is given up when it is no longer wanted, also while a token is waited for", async () => {
    const under = new AbortController();
    const never = new Http({ endpoint: new Endpoint(url, () => new Promise<string>(() => {})), HubError });
    const waiting = never.ask({ type: "poll", poll: 1, pipeline: "p", cursor: null, waitSeconds: 0 }, under, null);
    under.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
    const own = new AbortController();
    const request = never.request("/api/rag-status", own.signal);
    own.abort(new Error("enough"));
    await expect(request).rejects.toThrow("enough");
    expect(asked).toEqual([]);
  });

  test("reads a snapshot with its reason", async () => {
    answer = json({ epoch: "e", seq: 7, snapshot: status("p", 7), reason: "trimmed" });
    expect(await poll()).toMatchObject({ messages: [{ event: "pipeline:status", data: { seq: 7, reason: "trimmed" } }], bad: false });
  });

  test("stops at what it cannot read: what comes after it is beyond a hole", async () => {
    answer = json({ epoch: "e", seq: 3, events: [event("p", 1), { event: "x:step", data: { seq: "2" } }, event("p", 3)] });
    expect(await poll()).toMatchObject({ type: "poll_answered", messages: [event("p", 1)], bad: true });
    answer = json({ epoch: "e", seq: 3, snapshot: { pipeline_id: "p" } });
    expect(await poll()).toMatchObject({ type: "poll_answered", messages: [], bad: true });
    for (const events of [[null], [7], [{ event: 7 }], ["x"]]) {
      answer = json({ events });
      expect(await poll(), JSON.stringify(events)).toMatchObject({ messages: [], bad: true });
    }
  });

  test.each(["<html>", "[]", "null", "{}", '{"events":{}}', ""])("takes %j for no hub's answer", async (body) => {
    answer = json(body);
    expect(await poll()).toMatchObject({ type: "poll_failed", code: null, message: "the answer is not a hub's" });
  });

  test("tells what the hub says, and of what is no hub only the status", async () => {
    answer = problem("overloaded", 503, { "retry-after": "7" });
    expect(await poll()).toMatchObject({ type: "poll_failed", code: "overloaded", message: "why not", retryAfterMs: 7_000 });
    answer = problem("of_a_later_version", 418);
    expect(await poll()).toMatchObject({ code: null, message: "HTTP 418", retryAfterMs: null });
    answer = json("<h1>Bad gateway</h1>", 502, { "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT" });
    expect(await poll()).toMatchObject({ code: null, message: "HTTP 502", retryAfterMs: null });
  });

  test("rejects where it is given up, or nobody answers; also in the middle of an answer", async () => {
    const under = new AbortController();
    answer = (_, response) => {
      response.writeHead(200).write('{"events":');
      under.abort(new Error("given up"));
    };
    await expect(poll(null, 0, null, under)).rejects.toThrow();
    await expect(poll(null, 0, null, under)).rejects.toThrow("given up");
    answer = (request) => request.socket.destroy();
    await expect(poll()).rejects.toThrow("fetch failed");
  });
});

test("advice is read field by field; what a later hub says otherwise is as if it were not said", async () => {
  const ask = () => http({ address: `${url}/base/` }).ask({ type: "ask_advice", ask: 3 }, new AbortController(), null);
  answer = json({ transport: "polling", rollout_percentage: 25, retry_after_ms: 500 });
  expect(await ask()).toEqual({ type: "advised", ask: 3, advice: { transport: "polling", rolloutPercentage: 25, retryAfterMs: 500 } });
  expect(asked[0]?.url).toBe("/base/api/socket/info");
  answer = json({ transport: "telepathy", rollout_percentage: 1_000, retry_after_ms: "soon" });
  expect(await ask()).toMatchObject({ advice: { transport: "auto", rolloutPercentage: 100, retryAfterMs: 0 } });
  for (const no of [json("no"), json({}, 404), json([])]) {
    answer = no;
    expect((await ask()).type).toMatch(/advised/);
  }
  answer = json({}, 500);
  expect(await ask()).toEqual({ type: "not_advised", ask: 3 });
});

test("the list is what a hub lists, or why there is none", async () => {
  const list = () => http().ask({ type: "list", list: 5 }, new AbortController(), null);
  answer = json({ pipelines: [{ pipeline_id: "a", pipeline_type: "t", status: "online" }, { pipeline_id: 7 }, null] });
  expect(await list()).toEqual({ type: "listed", list: 5, pipelines: [{ pipeline_id: "a", pipeline_type: "t", status: "online" }], code: null, message: "" });
  answer = problem("unauthorized", 401);
  expect(await list()).toMatchObject({ pipelines: null, message: "why not" });
  answer = json({ pipelines: {} });
  expect(await list()).toMatchObject({ pipelines: null, message: "the answer is not a hub's" });
});

describe("a request of one's own", () => {
  test("gives JSON, or a HubError with status and code", async () => {
    answer = json({ any: 1 });
    expect(await http().request("/any")).toEqual({ any: 1 });
    answer = problem("unknown_pipeline", 404);
    await expect(http().request("/any")).rejects.toMatchObject({ name: "HubError", status: 404, code: "unknown_pipeline", message: "why not" });
    answer = json("not JSON");
    await expect(http().request("/any")).rejects.toBeInstanceOf(HubError);
    answer = json("null");
    expect(await http().request("/any")).toBe(null);
  });

  test("can be given up, before and while it is under way", async () => {
    await expect(http().request("/any", AbortSignal.abort(new Error("before")))).rejects.toThrow("before");
    expect(asked).toEqual([]);
    const under = new AbortController();
    answer = () => under.abort(new Error("while"));
    await expect(http().request("/any", under.signal)).rejects.toThrow();
  });
});

describe("pages", () => {
  const asks = { request: (path: string, signal?: AbortSignal) => http().request(path, signal) };

  test("of files and of history ask for what is given, and nothing else", async () => {
    answer = json({ epoch: "e", seq: 1, files: [], next_after: null });
    await listFiles(asks, "p", { state: "failed", q: "a&b", after: 0, limit: 5 });
    await listFiles(asks, "p", { q: "" });
    answer = json({ events: [] });
    await listHistory(asks, "p", { file: "f", since: AT });
    expect(asked.map(({ url }) => url)).toEqual([
      "/api/pipelines/p/files?state=failed&q=a%26b&after=0&limit=5", "/api/pipelines/p/files",
      `/api/pipelines/p/history?file=f&since=${encodeURIComponent(AT)}`,
    ]);
  });

  test("refuse what is no page", async () => {
    answer = json({ files: 7 });
    await expect(listFiles(asks, "p")).rejects.toThrow("is not a hub's");
    answer = json("null");
    await expect(listHistory(asks, "p")).rejects.toThrow("is not a hub's");
    answer = problem("unknown_pipeline", 404);
    await expect(listFiles(asks, "p")).rejects.toBeInstanceOf(HubError);
  });
});

describe("the first state", () => {
  const hub = (paths: Record<string, (request: IncomingMessage, response: ServerResponse) => void>) => {
    answer = (request, response) => (paths[request.url!] ?? json("nothing here", 404))(request, response);
  };
  const listed = json({ pipelines: [{ pipeline_id: "a", pipeline_type: "t" }, { pipeline_id: "b", pipeline_type: "u" }] });
  const events = (id: string) => `/api/pipelines/${id}/events`;

  test("is of all, of a type, or of those that are named and known", async () => {
    hub({
      "/api/rag-status": listed,
      [events("a")]: json({ snapshot: status("a", 1) }),
      [events("b")]: json({ snapshot: status("b", 2) }),
      [events("never")]: json({ epoch: "", seq: 0, events: [] }),
      [events("gone")]: problem("unknown_pipeline", 404),
    });
    expect(await fetchInitialState({ url })).toEqual([status("a", 1), status("b", 2)]);
    expect(await fetchInitialState({ url, pipelines: { type: "u" } })).toEqual([status("b", 2)]);
    expect(await fetchInitialState({ url, pipelines: ["never", "a", "gone"] })).toEqual([status("a", 1)]);
  });

  test("is all of it or none", async () => {
    hub({ "/api/rag-status": listed, [events("a")]: json({ snapshot: status("a", 1) }), [events("b")]: problem("store_unavailable", 503) });
    await expect(fetchInitialState({ url })).rejects.toMatchObject({ code: "store_unavailable" });
    hub({ "/api/rag-status": json({ pipelines: 1 }), [events("a")]: json({ snapshot: {} }), [events("b")]: json("[]") });
    await expect(fetchInitialState({ url })).rejects.toThrow("not a hub's");
    await expect(fetchInitialState({ url, pipelines: ["a"] })).rejects.toThrow("not a hub's");
    await expect(fetchInitialState({ url, pipelines: ["b"] })).rejects.toThrow("not a hub's");
    await expect(fetchInitialState({ url, signal: AbortSignal.abort(new Error("too late")) })).rejects.toThrow("too late");
  });
});
