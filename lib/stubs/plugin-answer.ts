import { fromBinary } from "@bufbuild/protobuf";
import { type CodeGeneratorResponse, CodeGeneratorResponseSchema } from "@bufbuild/protobuf/wkt";
import { StatorError } from "#lib/base/errors";

/** What a plugin may answer. */
export interface AnswerLimits {
  /** Most files. */
  readonly files: number;
}

/** Far above what our contracts become. */
export const ANSWER_LIMITS: AnswerLimits = { files: 10_000 };

/**
 * The files of a plugin's answer, by their paths below its folder. Throws TOOL_UNUSABLE with what the plugin said, and for
 * an answer that is none, a path that leaves the folder, a file that comes twice, or one that is to be put into another.
 */
export function readPluginAnswer(
  title: string,
  answer: Uint8Array,
  limits: AnswerLimits = ANSWER_LIMITS,
): ReadonlyMap<string, string> {
  const refuse = (detail: string, cause?: unknown): StatorError =>
    new StatorError("TOOL_UNUSABLE", { tool: title, detail }, { cause });
  let response: CodeGeneratorResponse;
  try {
    response = fromBinary(CodeGeneratorResponseSchema, answer);
  } catch (cause) {
    throw refuse("answered something that is no answer of a plugin", cause);
  }
  if (response.error !== "") throw refuse(`said: ${response.error.split("\n", 1)[0]}`);
  if (response.file.length === 0) throw refuse("answered without a file");
  if (response.file.length > limits.files) throw refuse(`answered more than ${limits.files} files`);
  const files = new Map<string, string>();
  for (const { name, content, insertionPoint } of response.file) {
    if (!isBelow(name)) throw refuse(`answered a file at ${JSON.stringify(name)}, outside of its folder`);
    if (insertionPoint !== "")
      throw refuse(`answered a part for the inside of ${name}, and only whole files are taken`);
    if (files.has(name)) throw refuse(`answered ${name} twice`);
    files.set(name, content);
  }
  return files;
}

function isBelow(name: string): boolean {
  return name.split("/").every((part) => part !== "" && part !== "." && part !== ".." && !part.includes("\0"));
}
