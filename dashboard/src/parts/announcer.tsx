// What screen readers are told: that the connection changed for worse or better, and that files failed. Nothing else, and
// not more than once in ten seconds.
import type { PipelineStatus } from "@ragpulse/client";
import { useConnection } from "@ragpulse/react";
import { type ReactElement, useEffect, useRef, useState } from "react";
import { count } from "../lib/format.js";
import { STATE_WORDS } from "../lib/connection-words.js";

const EVERY_MS = 10_000;

export function Announcer({ shown, state }: { shown: string | null; state: PipelineStatus | null }): ReactElement {
  const connection = useConnection().state;
  const [said, setSaid] = useState("");
  const told = useRef(new Map<string, { failed: number; at: number }>());
  const before = useRef(connection);
  useEffect(() => {
    // Connecting is part of coming back, and at the beginning everybody knows.
    if (connection === "connecting" || connection === before.current) return;
    const isFirst = before.current === "connecting" && told.current.size === 0;
    before.current = connection;
    if (!isFirst) setSaid(`Connection: ${STATE_WORDS[connection]}.`);
  }, [connection]);
  const failed = state?.counts.failed;
  useEffect(() => {
    if (shown === null || failed === undefined) return;
    const last = told.current.get(shown);
    const now = performance.now();
    if (last && now - last.at < EVERY_MS) return;
    const more = last ? failed - last.failed : 0;
    told.current.set(shown, { failed, at: more > 0 || !last ? now : last.at });
    if (more > 0) setSaid(`${count(more)} more ${more === 1 ? "file" : "files"} failed in ${shown}.`);
  }, [shown, failed]);
  return <p className="visually-hidden" role="status" id="announcer">{said}</p>;
}
