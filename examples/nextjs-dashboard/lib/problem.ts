// What this server says where it cannot pass something on: a problem document (RFC 9457), as a hub's own.

/** A refusal. `code` is stable, `detail` says what to do. */
export function problem(status: number, code: string, title: string, detail: string): Response {
  const type = `urn:ragpulse-dashboard:problem:${code}`;
  const body = { type, title, status, detail, code, retryable: status >= 500 };
  return new Response(JSON.stringify(body), {
    status,
    headers: { "content-type": "application/problem+json", "cache-control": "no-store" },
  });
}
