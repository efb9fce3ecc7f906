// What stands where a pipeline would: why there is none, and what to do.
import { useConnection } from "@ragpulse/react";
import { explain, useLabels } from "@ragpulse/react/components";
import type { ReactElement } from "react";
import { Command } from "./copy.js";
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
  readonly needsToken: boolean;
  readonly onToken: () => void;
}

export function Empty({ shown, needsToken, onToken }: EmptyProps): ReactElement {
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
        <h1 id="empty-title">The hub cannot be reached</h1>
        <p>{explain(labels, state, connection.cause)}</p>
        {state === "waiting" && <button type="button" className="button" onClick={retry}><Icon name="retry" />Try now</button>}
      </section>
    );
  }
  if (shown !== null || transport === null) {
    return (
      <section className="empty" id="empty">
        {mark}
        <h1 id="empty-title">{shown === null ? "Connecting to the hub" : `Waiting for “${shown}”`}</h1>
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
