// @ragpulse/client/guards: whether foreign data is what the contract says, field by field.
//
// What may come in: anything at all, such as what another transport brought, a file, or a message between windows. What it
// never does: throw; change what it looks at; refuse a field that it does not know; make code of text, which a page's
// Content-Security-Policy may forbid.
//
// The client itself does not need it: what it folds it looks at by itself.
import type { Payloads } from "../messages.js";
import { validators } from "./validators.js";

/** Where in a payload, as one would write it: `file.id`, `files[3].seq`. */
const at = (pointer: string): string =>
  pointer
    .slice(1)
    .split("/")
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"))
    .reduce((path, step) => (/^\d+$/.test(step) ? `${path}[${step}]` : path ? `${path}.${step}` : step), "");

/** Whether this is the payload of such an event; tells TypeScript its type. */
export const isPayload = <K extends keyof Payloads>(event: K, data: unknown): data is Payloads[K] => explain(event, data) === null;

/** What is wrong with a payload of such an event, and at which field; null where nothing is. */
export function explain(event: keyof Payloads, data: unknown): string | null {
  if (!Object.hasOwn(validators, event)) return `the contract has no event "${event}"`;
  const validate = validators[event];
  if (validate(data)) return null;
  // The last one is about the whole of a choice, where those before it are about what might have been chosen.
  const error = validate.errors?.at(-1);
  const what = error?.message ?? "is not what the contract says";
  return error?.instancePath ? `${at(error.instancePath)}: ${what}` : what;
}
