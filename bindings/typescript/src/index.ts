// @ragpulse/client: follows RAG pipelines live, and the types of the contract.
export { connectPipelineStatus, type ConnectOptions, createPipelineStatusStore, type UnconnectedStore } from "./connect.js";
export type { TokenSource } from "./endpoint.js";
export * from "./generated/index.js";
export type { Fetch } from "./http.js";
export { HubError } from "./hub-error.js";
export type { Intervals } from "./machine/polls.js";
export { type FilesQuery, type HistoryQuery, listFiles, listHistory } from "./pages.js";
export { fetchInitialState, type InitialStateOptions } from "./initial.js";
export type { Advice, Cause, ConnectionState, ConnectionStatus, TransportChoice, Update } from "./machine/io.js";
export type { Message, MessageOf, Payloads, SequenceEvent } from "./messages.js";
export { isMessage, isSequenceEvent } from "./messages.js";
export type { Anomaly } from "./reducer.js";
export type { OpenSocket, SocketLike, SocketOptions } from "./socketio.js";
export type { PipelineStatusStore, Vitals } from "./store.js";
