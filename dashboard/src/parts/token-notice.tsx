// One line below the bar while the token is about to end, or has ended and what is shown stands still.
//
// What may come in: tokens that do not say when they end, clocks that differ from the hub's. What it never does: cover
// anything, take the focus, or speak each second.
import type { ReactElement } from "react";
import { useNow, useStanding } from "../hooks.js";
import { wordsOf } from "../lib/token.js";

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
