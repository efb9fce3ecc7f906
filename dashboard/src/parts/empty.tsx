// What stands where a pipeline would: why there is none, and what to do.
import { useConnection } from "@ragpulse/react";
import { explain, useLabels } from "@ragpulse/react/components";
import type { ReactElement } from "react";
import { Command } from "./copy.js";
import { show } from "../hooks.js";
import { isTokenWanting, titleOf } from "../lib/refusals.js";
import { shown as text } from "../lib/text.js";
import { Icon } from "./icons.js";

const EVENTS = [
  '{"event":"pipeline:online","data":{"pipeline_type":"local_files"}}',
  '{"event":"file:processing","data":{"file":{"name":"hello.txt"},"processing_stage":"extraction"}}',
  '{"event":"file:completed","data":{"file":{"name":"hello.txt"}}}',
];

/** This hub's address, for people. */
const hub = (): string => new URL(".", location.href.replace(/[?#].*$/, "")).href.replace(/\/$/, "");

/** A first report, as whoever has the program would make it. */
const publish = (): string => `printf '%s\\n' \\\n${EVENTS.map((event) => `  '${event}' \\\n`).join("")}  | ragpulse publish --pipeline my-first-pipeline --url ${hub()}`;

/** The same for who has none. */
const curl = (): string =>
  `curl ${hub()}/api/pipelines/my-first-pipeline/events \\\n  -H 'content-type: application/x-ndjson' \\\n  --data-binary $'${EVENTS.join("\\n")}'`;

interface EmptyProps {
  readonly shown: string | null;
  readonly isSettled: boolean;
  readonly isGone: boolean;
  readonly needsToken: boolean;
  readonly onToken: () => void;
}

export function Empty({ shown, isSettled, isGone, needsToken, onToken }: EmptyProps): ReactElement {
  const connection = useConnection();
  const { state, transport, retry } = connection;
  const labels = useLabels();
  const mark = <svg className="empty-mark" aria-hidden="true"><use href="#i-pulse" /></svg>;
  if (needsToken) {
    return (
      <section className="empty" id="empty">
        {mark}
        <h1 id="empty-title">This hub asks for a token</h1>
        <p>Ask whoever runs it for one that may read. It stays in this tab only.</p>
        <button type="button" className="button primary" onClick={onToken}><Icon name="key" />Enter a token</button>
      </section>
    );
  }
  if (state === "waiting" || state === "closed") {
    return (
      <section className="empty" id="empty">
        {mark}
        <h1 id="empty-title">{titleOf(connection.cause)}</h1>
        <p>{explain(labels, state, connection.cause)}</p>
        {isTokenWanting(connection.cause) && (
          <button type="button" className="button primary" onClick={onToken}><Icon name="key" />Enter another token</button>
        )}
        {state === "waiting" && <button type="button" className="button" onClick={retry}><Icon name="retry" />Try now</button>}
      </section>
    );
  }
  if (isGone && shown !== null) {
    return (
      <section className="empty" id="empty">
        {mark}
        <h1 id="empty-title">There is no pipeline “{text(shown)}”</h1>
        <p>The hub does not know it: it was forgotten, or has not reported yet. It shows up here as soon as it reports.</p>
        <button type="button" className="button" onClick={() => show({ pipeline: null, file: null })}>Show what there is</button>
      </section>
    );
  }
  if (shown !== null || transport === null || !isSettled) {
    return (
      <section className="empty" id="empty">
        {mark}
        <h1 id="empty-title">{shown === null ? "Connecting to the hub" : `Waiting for “${text(shown)}”`}</h1>
        <p>{shown === null ? "Pipelines will show up here." : "Its state is on its way."}</p>
      </section>
    );
  }
  return (
    <section className="empty first-steps" id="empty">
      {mark}
      <h1 id="empty-title">No pipelines yet</h1>
      <p>The hub is ready. A pipeline shows up here as soon as it reports its first event. Try it now:</p>
      <h2>With the program</h2>
      <Command text={publish()} />
      <h2>With curl</h2>
      <Command text={curl()} />
      <h2>Or watch a folder being ingested</h2>
      <Command text="ragpulse demo path/to/documents" />
    </section>
  );
}
