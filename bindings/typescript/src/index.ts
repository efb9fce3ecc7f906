// @ragpulse/client: follows RAG pipelines live, and the types of the contract.
export { connectPipelineStatus, type ConnectOptions } from "./connect.js";
export type { TokenSource } from "./endpoint.js";
export * from "./generated/index.js";
export type { Fetch } from "./http.js";
export type { Advice, Cause, ConnectionState, ConnectionStatus, TransportChoice, Update } from "./machine/io.js";
export type { Message, MessageOf, Payloads, SequenceEvent } from "./messages.js";
export { isMessage, isSequenceEvent } from "./messages.js";
export type { Anomaly } from "./reducer.js";
export type { OpenSocket, SocketLike, SocketOptions } from "./socketio.js";
export type { PipelineStatusStore } from "./store.js";
