import { choice, integer, type Options, PORT, text } from "#lib/base/option";
import { isNamespace, MAX_NAMESPACE_LENGTH, NAMESPACE_PATTERN } from "./namespace.ts";

/** The name of a namespace, or nothing. */
function parseNamespace(given: string): string | { readonly expected: string } {
  if (isNamespace(given)) return given;
  return { expected: `at most ${MAX_NAMESPACE_LENGTH} of a-z, 0-9, '.', '_' and '-', a letter or a digit first` };
}

/** Where processes find each other, and for how long they are believed. */
export const DISCOVERY_OPTIONS = {
  discovery: text({
    initial: undefined,
    placeholder: "URL",
    doc: "Where processes find each other: hub://HOST:PORT, file:///DIR, etcd://HOST:PORT.",
    alike: "--discovery-backend",
  }),
  namespace: {
    ...text({
      initial: "",
      placeholder: "NAME",
      doc: "Which processes of the same --discovery belong together: one meets those with the same namespace alone.",
      alike: "--namespace",
    }),
    schema: { type: "string", pattern: NAMESPACE_PATTERN },
    parse: parseNamespace,
  },
  "lease-ms": integer({
    initial: 10_000,
    least: 1000,
    most: 600_000,
    unit: "ms",
    doc: "A process that is silent for so long is taken off the list.",
  }),
} as const satisfies Options;

/** What is decided of workers of one name that differ. */
export const SCOPE_OPTIONS = {
  "router.mismatch": choice({
    initial: "strict",
    choices: ["strict", "degrade"],
    placeholder: "NAME",
    doc: "A worker whose tokenizer, template or blocks differ from the model's set: refuse it, or serve without KV routing.",
  }),
} as const satisfies Options;

/** Where a hub listens. */
export const HUB_OPTIONS = {
  "hub.host": text({ initial: "127.0.0.1", placeholder: "HOST", doc: "Where `hub` listens." }),
  "hub.port": integer({
    initial: 8005,
    ...PORT,
    doc: "Port of `hub`; under `up` a free one is taken.",
  }),
} as const satisfies Options;
