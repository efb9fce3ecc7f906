// What a browser may do on these pages: a content security policy with every answer, made when the server runs because
// it names the hub.
import { type NextRequest, NextResponse } from "next/server";

import { browserSettings } from "@/lib/settings";

function policy(nonce: string): string {
  const { hub } = browserSettings();
  // Only the socket goes to the hub itself.
  const connect = hub === null ? "'self'" : `'self' ${new URL(hub).origin.replace(/^http/, "ws")}`;
  const isDevelopment = process.env.NODE_ENV === "development";
  return [
    "default-src 'self'",
    // The tools of `next dev` evaluate text.
    `script-src 'self' 'nonce-${nonce}' 'strict-dynamic'${isDevelopment ? " 'unsafe-eval'" : ""}`,
    // Bars have their widths in style attributes, which the server draws too.
    "style-src 'self' 'unsafe-inline'",
    `connect-src ${connect}`,
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}

export function proxy(request: NextRequest): NextResponse {
  const value = policy(btoa(crypto.randomUUID()));
  const headers = new Headers(request.headers);
  // Next reads the nonce from here, and gives it to its own scripts.
  headers.set("content-security-policy", value);
  const response = NextResponse.next({ request: { headers } });
  response.headers.set("content-security-policy", value);
  response.headers.set("x-content-type-options", "nosniff");
  response.headers.set("referrer-policy", "same-origin");
  return response;
}

export const config = {
  // Pages; the answers of the API and files are no documents.
  matcher: ["/((?!api/|_next/|icon.svg).*)"],
};
