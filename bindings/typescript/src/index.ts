// @ragpulse/client: for now the types of the contract; the subscriber follows.
export * from "./generated/index.js";
