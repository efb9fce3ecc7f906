// The connection: in the bar in a few words, and on demand in full, with what can be done.
//
// What may come in: any state of the connection. What it never does: speak up by itself; the announcer does, for what
// matters.
import { useConnection } from "@ragpulse/react";
import type { ReactElement } from "react";
import { clockSpan, millis } from "../lib/format.js";
import { explain, STATE_WORDS } from "../lib/connection-words.js";
import { recallToken } from "../lib/memory.js";
import { Icon } from "./icons.js";

const TRANSPORTS = { websocket: "WebSocket", polling: "HTTP polling" } as const;

export function ConnectionPill({ needsToken, onToken }: { needsToken: boolean; onToken: () => void }): ReactElement {
  const { state, cause, transport, latencyMs, dataAgeMs, retry } = useConnection();
  const isOld = transport === null && dataAgeMs !== null;
  const age = dataAgeMs === null ? "nothing yet" : dataAgeMs < 2_000 ? "now" : `${clockSpan(dataAgeMs / 1_000)} ago`;
  return (
    <>
      <button type="button" className="link" id="link" data-transport={state} popoverTarget="link-card" aria-haspopup="dialog">
        <span className="link-dot" aria-hidden="true" />
        <span className="visually-hidden">Connection: </span>
        <span className="link-name" id="link-name">{needsToken ? "Token needed" : STATE_WORDS[state]}</span>
        {latencyMs !== null && transport !== null && <span className="link-part">{millis(latencyMs)}</span>}
        {isOld && <span className="link-part">data {clockSpan(dataAgeMs / 1_000)} old</span>}
      </button>
      <div className="card link-card" id="link-card" popover="auto" role="dialog" aria-label="Connection">
        <h2 data-transport={state}><span className="link-dot" aria-hidden="true" />{STATE_WORDS[state]}</h2>
        <p>{explain({ state, cause })}</p>
        <dl className="pairs">
          <dt>By</dt><dd>{transport === null ? "nothing at the moment" : TRANSPORTS[transport]}</dd>
          <dt>Round trip</dt><dd>{latencyMs === null ? "not measured yet" : millis(latencyMs)}</dd>
          <dt>Last heard</dt><dd>{age}</dd>
        </dl>
        <div className="actions">
          <button type="button" className="button" onClick={retry} disabled={state === "websocket" || state === "closed"}>
            <Icon name="retry" />Try now
          </button>
          <button type="button" className="button quiet" popoverTarget="link-card" popoverTargetAction="hide" onClick={onToken}>
            <Icon name="key" />{recallToken() === null ? "Enter a token" : "Change the token"}
          </button>
        </div>
      </div>
    </>
  );
}
