// What screen readers are told of a pipeline: that files failed, and not more than once in ten seconds. Of the connection
// its indicator tells.
import type { PipelineStatus } from "@ragpulse/client";
import { type ReactElement, useEffect, useRef, useState } from "react";
import { count } from "../lib/format.js";

const EVERY_MS = 10_000;

export function Announcer({ shown, state }: { shown: string | null; state: PipelineStatus | null }): ReactElement {
  const [said, setSaid] = useState("");
  const told = useRef(new Map<string, { failed: number; at: number }>());
  const failed = state?.counts.failed;
  useEffect(() => {
    if (shown === null || failed === undefined) return;
    const tell = (): void => {
      const last = told.current.get(shown);
      const more = last ? failed - last.failed : 0;
      told.current.set(shown, { failed, at: performance.now() });
      if (more > 0) setSaid(`${count(more)} more ${more === 1 ? "file" : "files"} failed in ${shown}.`);
    };
    const last = told.current.get(shown);
    if (last?.failed === failed) return;
    // Those that fail meanwhile are told of together.
    const timer = setTimeout(tell, last ? Math.max(0, last.at + EVERY_MS - performance.now()) : 0);
    return () => clearTimeout(timer);
  }, [shown, failed]);
  return <p className="visually-hidden" role="status" id="announcer">{said}</p>;
}
