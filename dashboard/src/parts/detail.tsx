// One pipeline: what it is, how far it is, how fast, what is wrong, and its files.
import type { PipelineStatus } from "@ragpulse/client";
import type { ReactElement } from "react";
import { Causes } from "./causes.js";
import { Files } from "./files.js";
import { Head } from "./head.js";
import { Plots } from "./plots.js";
import { Progress } from "./progress.js";
import { Stages } from "./stages.js";

export const Detail = ({ state }: { state: PipelineStatus }): ReactElement => (
  <div className="detail" id="detail">
    <Head state={state} />
    <Progress state={state} />
    <div className="rail">
      <Plots pipeline={state.pipeline_id} />
      <div className="insight">
        <Stages state={state} />
        <Causes state={state} />
      </div>
    </div>
    <Files state={state} />
  </div>
);
