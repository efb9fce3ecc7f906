// Where files are on their way: waiting, in which stage, ended.
import type { PipelineStatus } from "@ragpulse/client";
import type { ReactElement } from "react";
import { count, words } from "../lib/format.js";
import { countStages, progressOf } from "../lib/pipelines.js";
import { shown } from "../lib/text.js";
import { Icon } from "./icons.js";

export function Stages({ state }: { state: PipelineStatus }): ReactElement {
  const stages = countStages(state.files);
  const listed = stages.reduce((sum, { amount }) => sum + amount, 0);
  const steps = [
    { key: "queued", name: "Queued", amount: state.counts.queued },
    ...stages.map(({ stage, amount }) => ({ key: `stage ${stage}`, name: words(shown(stage)), amount })),
    { key: "ended", name: "Ended", amount: progressOf(state.counts).ended },
  ];
  return (
    <section className="block" aria-labelledby="flow-title">
      <h2 className="visually-hidden" id="flow-title">Where files are</h2>
      <ol className="flow">
        {steps.map(({ key, name, amount }, index) => (
          <li key={key} className={amount > 0 ? "some" : undefined} data-step={key.split(" ")[0]}>
            {index > 0 && <Icon name="arrow" />}
            <b>{count(amount)}</b> <span>{name}</span>
          </li>
        ))}
      </ol>
      {listed < state.counts.processing && <p className="soft">Stages of {count(listed)} of {count(state.counts.processing)} running files.</p>}
    </section>
  );
}
