// @ragpulse/client/machine: the connection's state machine, for a transport of one's own.
//
// What may come in: nothing; it only names what belongs together. What it never does: get loaded by the client itself,
// which loads the rules for sockets together with what opens them.
export { Machine } from "../machine.js";
export type { MachineOptions, PhaseName } from "./core.js";
export { partOf } from "./guide.js";
export type { Advice, Cause, Command, ConnectionStatus, Input, Listed, TransportChoice, Update } from "./io.js";
export type { Scope } from "./pipelines.js";
export type { Intervals } from "./polls.js";
export { type SocketRules, socketRules } from "./talk.js";
