import { expect, test } from "vitest";
import { refusalOf } from "../src/lib/check.js";
import { type Stores, TokenSession } from "../src/lib/session.js";
import { cleaned, endOf, isBlind, whyNot, wordsOf } from "../src/lib/token.js";

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const jwt = (claims: unknown): string => `${part({ alg: "HS256" })}.${part(claims)}.c2ln`;

test("a token is taken as it is copied: from a file, a header, a command", () => {
  for (const text of ["rp_abc", " rp_abc\n", "Bearer rp_abc", "Authorization: bearer rp_abc", "RAGPULSE_TOKEN=rp_abc", 'export RAGPULSE_TOKEN="rp_abc"', "'rp_abc'"]) {
    expect(cleaned(text), text).toBe("rp_abc");
  }
  expect([cleaned("  "), cleaned("Bearer-like"), cleaned('"')]).toEqual(["", "Bearer-like", '"']);
});

test("what can be no token is not sent, and not repeated", () => {
  expect(whyNot("rp_abc")).toBeNull();
  for (const text of ["two words", "t\u00f6ken", "a\nb", "x".repeat(9_000), ""]) {
    const why = whyNot(text);
    expect(why, text).not.toBeNull();
    if (text.length > 3) expect(why).not.toContain(text);
  }
});

test("the end of a JSON Web Token is read, and of nothing else", () => {
  expect(endOf(jwt({ exp: 1_700_000_000 }))).toBe(1_700_000_000_000);
  // Names beyond ASCII, and the two letters in which base64url differs.
  expect(endOf(jwt({ sub: "J\u00fcrgen \u{1f600} ???>>>", exp: 7.5 }))).toBe(7_500);
  const others = ["rp_abc", "a.b.c", "a.b", "..", jwt({}), jwt({ exp: "7" }), jwt(null), jwt([7]), jwt("x"), `x.${part({ exp: 7 })}.`];
  expect(others.map(endOf)).toEqual(others.map(() => null));
});

test("a token that says that it can see nothing is told from one that can, and from one that does not say", () => {
  const seeing = [{ pipelines: ["*"], role: "viewer" }, { pipelines: ["a"], acts: ["metrics", "view"] }, { pipelines: ["a"], role: "admin" }];
  const blind = [{}, { pipelines: [], role: "viewer" }, { role: "viewer" }, { pipelines: ["*"] }, { pipelines: ["*"], acts: ["metrics"] }];
  expect(seeing.map((claims) => isBlind(jwt(claims)))).toEqual([false, false, false]);
  expect(blind.map((claims) => isBlind(jwt(claims)))).toEqual(blind.map(() => true));
  expect([isBlind("rp_abc"), isBlind("")]).toEqual([false, false]);
});

/** Storages of one tab and one device; `isForbidden` makes them fail as browsers do. */
function browser(isForbidden = false): { stores: Stores; kept: () => (string | null)[] } {
  const make = (): Storage => {
    const map = new Map<string, string>();
    return { getItem: (key: string) => map.get(key) ?? null, setItem: (key: string, value: string) => map.set(key, value), removeItem: (key: string) => map.delete(key) } as unknown as Storage;
  };
  const [tab, device] = [make(), make()];
  const given = (storage: Storage) => (): Storage => {
    if (isForbidden) throw new DOMException("denied", "SecurityError");
    return storage;
  };
  return { stores: { tab: given(tab), device: given(device) }, kept: () => [tab, device].map((storage) => storage.getItem("ragpulse.token")) };
}

test("a token is kept in one place, as was asked, and forgotten in all", () => {
  const { stores, kept } = browser();
  const session = new TokenSession(stores);
  let told = 0;
  const stop = session.subscribe(() => (told += 1));
  expect([session.token(), session.standing().has]).toEqual([null, false]);
  session.take("one", false);
  expect([session.token(), kept()]).toEqual(["one", ["one", null]]);
  session.take("two", true);
  expect(kept()).toEqual([null, "two"]);
  expect(new TokenSession(stores).token()).toBe("two");
  session.take(jwt({ exp: 7, pipelines: ["*"], role: "viewer" }), false);
  expect([kept()[1], session.standing()]).toEqual([null, { has: true, endsAt: 7_000, isBlind: false }]);
  expect(session.standing()).toBe(session.standing());
  session.forget();
  expect([session.token(), session.standing().has, kept()]).toEqual([null, false, [null, null]]);
  stop();
  session.take("three", false);
  expect(told).toBe(4);
});

test("where storage is forbidden it holds until the page is left", () => {
  const session = new TokenSession(browser(true).stores);
  session.take("one", true);
  expect(session.token()).toBe("one");
  session.forget();
  expect(session.token()).toBeNull();
});

test("what another tab does with this device's token concerns those that have it", () => {
  const { stores } = browser();
  const own = new TokenSession(stores);
  own.take("own", false);
  expect([own.follow("ragpulse.token", null), own.token()]).toEqual([false, "own"]);
  own.take("shared", true);
  expect([own.follow("ragpulse.theme", null), own.follow("ragpulse.token", "shared"), own.token()]).toEqual([false, false, "shared"]);
  expect([own.follow("ragpulse.token", "next"), own.token()]).toEqual([true, "next"]);
  expect([own.follow(null, null), own.token()]).toEqual([true, null]);
});

test("the hub is asked with the token in a header, and its words are told, but never the token", async () => {
  const asked: [string, string | null][] = [];
  const answer = (status: number, body: unknown) => async (url: string, init: RequestInit) => {
    asked.push([url, new Headers(init.headers).get("authorization")]);
    return new Response(typeof body === "string" ? body : JSON.stringify(body), { status });
  };
  const url = new URL("http://hub.test/below/");
  expect(await refusalOf("secret", url, answer(200, {}))).toBeNull();
  expect(asked).toEqual([["http://hub.test/below/api/rag-status", "Bearer secret"]]);
  expect(await refusalOf("secret", url, answer(401, { code: "unauthorized", detail: "It has expired." }))).toBe("It has expired.");
  const others = await Promise.all([
    refusalOf("secret", url, answer(401, { code: "unauthorized", detail: "no secret please" })),
    refusalOf("secret", url, answer(502, "<html>secret</html>")),
    refusalOf("secret", url, answer(403, { detail: "no hub's" })),
    refusalOf("secret", url, () => Promise.reject(new Error("secret"))),
  ]);
  for (const words of others) expect(words).not.toContain("secret");
  expect(others[1]).toContain("HTTP 502");
  expect(others[3]).toContain("cannot be reached");
});

test("the end of a token is told a minute ahead, by the hub's clock, and spoken once", () => {
  const seen = (endsAt: number | null, now: number, isRefused = false) => wordsOf(endsAt, now, isRefused)?.seen ?? null;
  expect([seen(null, 5), seen(100_000, 0), seen(100_000, 39_999)]).toEqual([null, null, null]);
  expect([seen(100_000, 40_000), seen(100_000, 99_500)]).toEqual(["The token ends in 1 min.", "The token ends in 1 s."]);
  expect(new Set([40_000, 70_000, 99_000].map((now) => wordsOf(100_000, now, false)?.said)).size).toBe(1);
  expect(seen(100_000, 100_000)).toBe("The token has ended.");
  expect(seen(null, 5, true)).toMatch(/stands still/);
});
