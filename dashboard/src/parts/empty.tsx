// What stands where a pipeline would: why there is none, and what to do.
import { useConnection } from "@ragpulse/react";
import { explain, useLabels } from "@ragpulse/react/components";
import type { ReactElement } from "react";
import { Command } from "./copy.js";
import { show, useStanding } from "../hooks.js";
import { hubUrl } from "../lib/check.js";
import { isTokenWanting, titleOf } from "../lib/refusals.js";
import { shown as text } from "../lib/text.js";
import { Icon } from "./icons.js";
import { TokenForm } from "./token-form.js";

const EVENTS = [
  '{"event":"pipeline:online","data":{"pipeline_type":"local_files"}}',
  '{"event":"file:processing","data":{"file":{"name":"hello.txt"},"processing_stage":"extraction"}}',
  '{"event":"file:completed","data":{"file":{"name":"hello.txt"}}}',
];

/** This hub's address, for people. */
const hub = (): string => hubUrl().href.replace(/\/$/, "");

/** A first report, as whoever has the program would make it. */
const publish = (): string => `printf '%s\\n' \\\n${EVENTS.map((event) => `  '${event}' \\\n`).join("")}  | ragpulse publish --pipeline my-first-pipeline --url ${hub()}`;

/** The same for who has none. */
const curl = (hasToken: boolean): string =>
  `curl ${hub()}/api/pipelines/my-first-pipeline/events \\\n  -H 'content-type: application/x-ndjson' \\\n${hasToken ? "  -H \"authorization: Bearer $RAGPULSE_TOKEN\" \\\n" : ""}  --data-binary $'${EVENTS.join("\\n")}'`;

interface EmptyProps {
  readonly shown: string | null;
  readonly isSettled: boolean;
  readonly isGone: boolean;
  /** Why the hub did not take the token, null where there is none; `undefined` where it needs none, or has one. */
  readonly refusal: string | null | undefined;
  readonly onToken: () => void;
}

export function Empty({ shown, isSettled, isGone, refusal, onToken }: EmptyProps): ReactElement {
  const connection = useConnection();
  const { state, transport, retry } = connection;
  const labels = useLabels();
  const { has, isBlind } = useStanding();
  const mark = <svg className="empty-mark" aria-hidden="true"><use href="#i-pulse" /></svg>;
  if (refusal !== undefined) {
    return (
      <section className="empty sign-in" id="empty">
        {mark}
        <h1 id="empty-title">This hub asks for a token</h1>
        {/* The form goes, and with it the focus. */}
        <TokenForm refusal={refusal} onTaken={() => document.getElementById("main")?.focus()} />
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
  if (isBlind && transport !== null && isSettled) {
    return (
      <section className="empty" id="empty">
        {mark}
        <h1 id="empty-title">Your token may not see any pipeline</h1>
        <p>The hub takes it, but it names no pipeline, or does not allow to look. Ask whoever runs the hub for one that does; what a token may do is said by <code>ragpulse token explain</code>.</p>
        <button type="button" className="button primary" onClick={onToken}><Icon name="key" />Enter another token</button>
      </section>
    );
  }
  if (isGone && shown !== null) {
    return (
      <section className="empty" id="empty">
        {mark}
        <h1 id="empty-title">There is no pipeline “{text(shown)}”</h1>
        <p>
          {has
            ? "The hub does not know it, or your token does not name it. It shows up here as soon as it reports and you may see it."
            : "The hub does not know it: it was forgotten, or has not reported yet. It shows up here as soon as it reports."}
        </p>
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
      <h1 id="empty-title">{has ? "No pipelines for your token yet" : "No pipelines yet"}</h1>
      <p>
        {has
          ? "The hub takes your token, and none of the pipelines that it names has reported yet. One shows up here as soon as it does. If you may report, try it now, with your token in RAGPULSE_TOKEN:"
          : "The hub is ready. A pipeline shows up here as soon as it reports its first event. Try it now:"}
      </p>
      <h2>With the program</h2>
      <Command text={publish()} />
      <h2>With curl</h2>
      <Command text={curl(has)} />
      {has ? (
        <button type="button" className="button" onClick={onToken}><Icon name="key" />Enter another token</button>
      ) : (
        <>
          <h2>Or watch a folder being ingested</h2>
          <Command text="ragpulse demo path/to/documents" />
        </>
      )}
    </section>
  );
}
