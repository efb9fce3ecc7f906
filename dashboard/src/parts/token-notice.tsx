// One line below the bar while the token is about to end, or has ended and what is shown stands still.
//
// What may come in: tokens that do not say when they end, clocks that differ from the hub's. What it never does: cover
// anything, take the focus, or speak each second.
import type { ReactElement } from "react";
import { useNow, useStanding } from "../hooks.js";
import { clockSpan } from "../lib/format.js";

/** How long before its end it is told, in milliseconds. */
const AHEAD_MS = 60_000;

/** What to say of a token that ends then: aloud, and to be seen; null where there is nothing to say yet. */
export function wordsOf(endsAt: number | null, now: number, isRefused: boolean): { readonly said: string; readonly seen: string } | null {
  const left = endsAt === null || now === 0 ? Infinity : endsAt - now;
  if (isRefused || left <= 0) {
    const words = isRefused ? "The token does not hold any more. What you see stands still." : "The token has ended.";
    return { said: words, seen: words };
  }
  if (left > AHEAD_MS) return null;
  return { said: "The token ends within a minute.", seen: `The token ends in ${clockSpan(Math.ceil(left / 1_000))}.` };
}

export interface TokenNoticeProps {
  /** Whether the hub has refused the token. */
  readonly isRefused: boolean;
  readonly onToken: () => void;
}

export function TokenNotice({ isRefused, onToken }: TokenNoticeProps): ReactElement {
  const { endsAt } = useStanding();
  const words = wordsOf(endsAt, useNow(), isRefused);
  return (
    <div className="token-notice" data-shown={words !== null}>
      <p role="status" className="visually-hidden">{words?.said}</p>
      {words && (
        <>
          <p aria-hidden="true">{words.seen}</p>
          <button type="button" className="text-button" onClick={onToken}>Enter a new token</button>
        </>
      )}
    </div>
  );
}
