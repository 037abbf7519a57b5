import { assert } from "#lib/base/errors";
import { type OptionBase, type Options, text, type Values } from "#lib/base/option";
import { parseSampling, type SaidSampling } from "#lib/base/sampling";

/** A list of sampling values, which stays text until an engine is opened. */
function sampling(options: Parameters<typeof text>[0] & { initial: undefined }): OptionBase<string | undefined> {
  const parse = (given: string) => {
    const said = parseSampling(given);
    return "expected" in said ? said : given;
  };
  return { ...text(options), parse };
}

/** What is decided for an engine of any kind. */
export const ENGINE_OPTIONS = {
  "default-sampling": sampling({
    initial: undefined,
    placeholder: "LIST",
    doc: "How tokens are drawn for requests that do not say, such as temperature=0.7,top_p=0.9; before what the model's file says. none leaves the file's values out.",
    alike: "--override-generation-config",
  }),
} as const satisfies Options;

/** What an operator says about drawing, as the options say. */
export function readSampling(values: Values<typeof ENGINE_OPTIONS>): SaidSampling | undefined {
  const list = values["default-sampling"];
  const said = list === undefined ? undefined : parseSampling(list);
  assert(said === undefined || !("expected" in said), "options are checked when they are read");
  return said;
}
