import { choice, decimal, flag, integer, type Options, text } from "#lib/base/option";
import { LANGUAGES } from "#lib/stubs/recipe";
import { duration } from "./duration.ts";
import { engineOption } from "./engine-option.ts";
import { modelOption } from "./model-entry.ts";

/** What this program decides itself. */
export const PROGRAM_OPTIONS = {
  config: text({ initial: undefined, placeholder: "FILE", doc: "YAML file with options by their keys." }),
  model: modelOption({
    doc: "GGUF file to serve; the demo model that ships when absent. `up` takes several, each with workers of its own. Of models of tensors the name; all that there are when absent.",
    alike: "--model-path",
  }),
  "model-name": text({
    initial: undefined,
    placeholder: "NAME",
    doc: "Name of the one model in the API; taken from the file when absent.",
    alike: "--served-model-name",
  }),
  engine: engineOption({
    doc: "Engine of a worker: llama computes, mock pretends, openengine stands in front of an engine that runs already, module:FILE is your own, of text or tensors; models of tensors have tensor (examples) and kserve (a server that runs already) too.",
  }),
  workers: integer({
    initial: 2,
    least: 1,
    most: 1_024,
    placeholder: "COUNT",
    doc: "Worker processes that `up` starts, at most 64, shared out among the models: at least one each. Workers that `replay` has.",
    alike: "--num-workers",
  }),
  prefill: integer({
    initial: 0,
    least: 0,
    most: 1_024,
    placeholder: "COUNT",
    doc: "Worker processes of the role prefill that `up` starts, with --decode; none of all of an answer then, unless --workers names some. The same of `replay`.",
  }),
  decode: integer({
    initial: 0,
    least: 0,
    most: 1_024,
    placeholder: "COUNT",
    doc: "Worker processes of the role decode that `up` starts, beside those of --prefill. The same of `replay`.",
  }),
  lang: choice({
    initial: undefined,
    choices: LANGUAGES,
    doc: "Language of the package that `stubs` makes, and of the project that `new` writes.",
  }),
  package: text({
    initial: undefined,
    placeholder: "NAME",
    doc: "Name of the package that `stubs` makes, as its language has names; the language's own when absent.",
  }),
  foreign: flag({
    initial: false,
    doc: "Have `stubs` add contracts that others own: OpenEngine, KServe's inference, gRPC health where a language lacks it.",
  }),
  json: flag({ initial: false, doc: "Print JSON for programs in place of a table." }),
  prompt: text({
    initial: undefined,
    placeholder: "TEXT",
    doc: "What `explain` places as if it came now, in place of a request that came.",
  }),
  out: text({
    initial: undefined,
    placeholder: "PATH",
    doc: "Where `capture` writes, a file that is not there yet; one by the time in this folder when absent. Folder that `stubs` fills.",
  }),
  for: duration({
    initial: 600_000,
    least: 1_000,
    most: 86_400_000,
    doc: "How long `capture` goes on: a number with ms, s, m or h behind it.",
  }),
  "max-bytes": integer({
    initial: 1_073_741_824,
    least: 1_024,
    most: 1_099_511_627_776,
    unit: "bytes",
    doc: "Where the file of `capture` ends.",
  }),
  decisions: flag({
    initial: false,
    doc: "Have `capture` write also what each decision was made from, so that it can be made once more.",
  }),
  salted: text({
    initial: undefined,
    secret: true,
    placeholder: "SALT",
    doc: "Have `capture` name blocks and sessions by hashes under this salt: files with the same salt can be joined.",
  }),
  system: text({
    initial: undefined,
    placeholder: "TEXT",
    doc: "What `chat` tells the model before the conversation.",
  }),
  temperature: decimal({
    initial: undefined,
    least: 0,
    most: 2,
    placeholder: "NUMBER",
    doc: "How freely `chat` has the model choose: 0 takes the most likely; the model's own when absent.",
  }),
  "max-tokens": integer({
    initial: undefined,
    least: 1,
    most: 1_000_000_000,
    unit: "tokens",
    doc: "Longest answer in `chat`; what the context has room for when absent.",
  }),
  contract: choice({
    initial: "any",
    choices: ["any", "link", "openengine"],
    doc: "What `conform worker` holds a worker to: every contract that it answers, or the one that is named.",
  }),
  report: choice({
    initial: "text",
    choices: ["text", "json", "junit"],
    doc: "How `conform` prints what it found: a line for each promise, JSON, or JUnit's XML.",
  }),
  pid: integer({
    initial: undefined,
    least: 2,
    most: 4_194_304,
    doc: "Process of this machine that `conform worker` tells to end (SIGTERM) when all else was asked, to see how it drains.",
  }),
  "adapter-path": text({
    initial: undefined,
    placeholder: "FILE",
    doc: "Adapter at the worker's host, by its absolute path, that `conform worker` may load; what needs one is left out when absent.",
  }),
  "drain-ms": integer({
    initial: 10_000,
    least: 0,
    most: 86_400_000,
    unit: "ms",
    doc: "Time to finish what runs before a process ends.",
  }),
} as const satisfies Options;
