import { type OptionBase, severalOf } from "#lib/base/option";

/** One model to serve, as `--model` or an entry of the file's list names it. */
export interface ModelEntry {
  /** Path of a GGUF file. */
  readonly file: string;
  /** Name in the API; taken from the file when absent. */
  readonly name?: string;
  /** Other names for the same model. */
  readonly aliases?: readonly string[];
  /** What is spelled like a control token in a message is one; as `--tokenizer-markers-in-content` says when absent. */
  readonly "markers-in-content"?: boolean;
}

const EXPECTED = { expected: "the path of a file, or a mapping with file, name, aliases and markers-in-content" };

/** The option `model`: a path, or a mapping with what else is decided of it, as often as there are models. */
export function modelOption(about: { doc: string; alike: string }): OptionBase<readonly ModelEntry[]> {
  return severalOf<ModelEntry>({
    ...about,
    placeholder: "FILE",
    parseItem: (text) =>
      text.startsWith("{")
        ? parseMapping(text)
        : /^(\d+|null|true|false|\[.*|)$/.test(text)
          ? EXPECTED
          : { file: text },
    printItem: ({ file, name, aliases, "markers-in-content": markers }) =>
      file +
      (name === undefined ? "" : ` as ${[name, ...(aliases ?? [])].join(", ")}`) +
      (markers === undefined ? "" : ` ${markers ? "with" : "without"} markers in content`),
    itemSchema: {
      anyOf: [
        { type: "string" },
        {
          type: "object",
          additionalProperties: false,
          required: ["file"],
          properties: {
            file: { type: "string" },
            name: { type: "string" },
            aliases: { type: "array", items: { type: "string" } },
            "markers-in-content": { type: "boolean" },
          },
        },
      ],
    },
  });
}

function parseMapping(text: string): ModelEntry | typeof EXPECTED {
  let found: Partial<Record<string, unknown>>;
  try {
    found = JSON.parse(text) as Partial<Record<string, unknown>>;
  } catch {
    return EXPECTED;
  }
  const { file, name, aliases, "markers-in-content": markers, ...more } = found;
  const isWord = (value: unknown): value is string => typeof value === "string" && value !== "";
  const isList = (value: unknown): value is string[] => Array.isArray(value) && value.every(isWord);
  if (!isWord(file) || Object.keys(more).length > 0) return EXPECTED;
  if ((name !== undefined && !isWord(name)) || (aliases !== undefined && !isList(aliases))) return EXPECTED;
  if (markers !== undefined && typeof markers !== "boolean") return EXPECTED;
  return {
    file,
    ...(name !== undefined && { name }),
    ...(aliases !== undefined && { aliases }),
    ...(markers !== undefined && { "markers-in-content": markers }),
  };
}
