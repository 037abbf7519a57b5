import { choice, flag, type OptionBase, type Options, text } from "#lib/base/option";
import { MOST_TAINTS, parseTaints } from "#lib/base/taint";
import { TEXT_ROLES } from "#lib/discovery/worker-role";

function words({ doc }: { readonly doc: string }): OptionBase<readonly string[]> {
  return {
    doc,
    placeholder: "WORDS",
    initial: [],
    parse: (given) => parseTaints(given) ?? { expected: `at most ${MOST_TAINTS} words of letters, digits and ._=:/-` },
    schema: { type: "string" },
    print: (given) => given.join(","),
  };
}

/** What is decided for a worker, whatever engine it has. */
export const WORKER_OPTIONS = {
  taints: words({
    doc: "Words for this worker, with commas between them, such as zone=a: requests may require or prefer them.",
  }),
  role: choice({
    initial: "aggregated",
    choices: TEXT_ROLES,
    doc: "What part of an answer this worker does: all of it, its prompt alone, or what follows a prompt that another has computed (and all of it where that is better).",
    alike: "--disaggregation-mode",
  }),
  "adapter-folder": text({
    initial: undefined,
    placeholder: "FOLDER",
    doc: "Folder of the LoRA adapters that openengine.v1 may load by path; none may be when absent.",
  }),
  "tokenizer.markers-in-content": flag({
    initial: false,
    doc: "What is spelled like a control token in a message to the model is that token, for models whose users write them; otherwise it is text.",
  }),
} as const satisfies Options;
