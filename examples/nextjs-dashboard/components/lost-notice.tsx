"use client";
// Says that what is shown is old, once that has lasted; a moment without connection is nobody's business.
import { useConnection, useLostConnection } from "@ragpulse/react";
import { explain, useLabels } from "@ragpulse/react/components";
import { useState } from "react";

import { ago } from "./format";

/** A loss is told after this long, in milliseconds. */
const AFTER_MS = 5_000;

export function LostNotice() {
  const [isLost, setLost] = useState(false);
  useLostConnection((lost) => setLost(lost !== null), { afterMs: AFTER_MS });
  return isLost ? <Notice /> : null;
}

function Notice() {
  const { state, dataAgeMs, cause, retry } = useConnection();
  // The words of the package: whose fault it is, and what happens next.
  const why = explain(useLabels(), state, cause);
  return (
    <div className="notice" role="alert">
      <p>
        <strong>The connection to the hub is lost.</strong>{" "}
        {dataAgeMs === null ? "Nothing has come yet." : `What you see is from ${ago(dataAgeMs)}.`} {why}
      </p>
      <button type="button" onClick={retry}>Try now</button>
    </div>
  );
}
