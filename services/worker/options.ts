import { flag, type Options, text } from "#lib/base/option";

/** What is decided for a worker, whatever engine it has. */
export const WORKER_OPTIONS = {
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
