import { integer, type OptionBase, type Options, text } from "#lib/base/option";

/** Most models that one foreign server may have here. */
export const MOST_FOREIGN_MODELS = 256;

function names({ doc }: { readonly doc: string }): OptionBase<readonly string[]> {
  return {
    doc,
    placeholder: "NAMES",
    initial: [],
    parse(given) {
      const found = given.split(",").map((name) => name.trim());
      const isList = found.length <= MOST_FOREIGN_MODELS && found.every((name) => name !== "");
      return isList ? found : { expected: `at most ${MOST_FOREIGN_MODELS} names with commas between them` };
    },
    schema: { type: "string" },
    print: (given) => given.join(","),
  };
}

/** What is decided for a worker in front of a foreign server that speaks the Open Inference Protocol. */
export const KSERVE_OPTIONS = {
  url: text({
    initial: undefined,
    placeholder: "HOST:PORT",
    doc: "gRPC port of what a worker stands in front of: of --engine kserve a Triton or KServe server, which frontends dial; of --engine openengine an engine, which the worker dials.",
  }),
  "kserve.models": names({
    doc: "Names of the server's models, with commas between them, where it has no index of them; of those in its index these alone.",
  }),
  "kserve.look-ms": integer({
    initial: 1_000,
    least: 50,
    most: 600_000,
    unit: "ms",
    doc: "How often the server is asked whether it is ready and which models it has.",
  }),
} as const satisfies Options;
