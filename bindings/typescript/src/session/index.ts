// @ragpulse/client/session: the apply rule and the reducer, for a transport of one's own.
//
// What may come in: nothing; it only names what belongs together. What it never does: get loaded by the client itself.
export { decode, type Decoded } from "../decode.js";
export type { Message } from "../messages.js";
export type { Anomaly } from "../reducer.js";
export { Session, type Step, type Verdict, verdict } from "../session.js";
export { type PipelineState, toStatus } from "../state.js";
