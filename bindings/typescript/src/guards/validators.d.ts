// What scripts/guards.js makes of bindings/json-schema when the package is built.
import type { Payloads } from "../messages.js";

interface Validate {
  (data: unknown): boolean;
  /** Of the last call. */
  readonly errors?: readonly { readonly instancePath: string; readonly message?: string }[] | null;
}

export const validators: { readonly [K in keyof Payloads]: Validate };
