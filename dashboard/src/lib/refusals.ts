// What stands above the reason why nothing comes from the hub.
//
// What may come in: any cause of a connection that is none. What it never does: say that a hub cannot be reached which has
// answered.
import type { Cause } from "@ragpulse/client";

/** Why nothing comes, in a few words. */
export function titleOf(cause: Cause | null): string {
  switch (cause?.kind) {
    case "rejected":
      switch (cause.code) {
        case "forbidden": return "You may not see these pipelines";
        case "unauthorized": return "This hub asks for a token";
        case "foreign_origin": return "This hub does not serve pages from this address";
        case "foreign_host": return "This hub does not go by this name";
        default: return "The hub refused";
      }
    case "failed": return /^HTTP 403\b/.test(cause.message) ? "Something on the way to the hub refused" : "The hub cannot be reached";
    case "refused": return "Something on the way to the hub refused";
    case "offline": return "This device has no network";
    case "hub_closing": return "The hub is being restarted";
    case "closed": return "The connection is closed";
    default: return "The hub cannot be reached";
  }
}

/** Whether another token may help. */
export const isTokenWanting = (cause: Cause | null): boolean =>
  cause?.kind === "rejected" && (cause.code === "forbidden" || cause.code === "unauthorized");
