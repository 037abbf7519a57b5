import { type Options, text } from "#lib/base/option";

/** What is decided for a worker, whatever engine it has. */
export const WORKER_OPTIONS = {
  "adapter-folder": text({
    initial: undefined,
    placeholder: "FOLDER",
    doc: "Folder of the LoRA adapters that openengine.v1 may load by path; none may be when absent.",
  }),
} as const satisfies Options;
