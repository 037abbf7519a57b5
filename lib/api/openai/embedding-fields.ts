import { compileCheck, type RequestCheck } from "../check.ts";
import type { Body, Fields } from "../field.ts";
import { OTHER_NAMES } from "../other-names.ts";
import { MODEL_FIELDS, PLACEMENT_FIELDS, TOKEN_IDS } from "./common-fields.ts";

const { model, user } = MODEL_FIELDS;
const MOST_INPUTS = 2048;

/** Every field of POST /v1/embeddings. */
export const EMBEDDING_FIELDS = {
  model,
  input: {
    use: "honoured",
    shape: {
      is: "union",
      of: [
        { is: "text", leastLength: 1 },
        { is: "list", of: { is: "text", leastLength: 1 }, least: 1, most: MOST_INPUTS },
        { is: "list", of: { is: "list", of: TOKEN_IDS.of, least: 1 }, least: 1, most: MOST_INPUTS },
        { ...TOKEN_IDS, least: 1 },
      ],
    },
    required: true,
    about: "One input or several, as text or as token ids.",
  },
  encoding_format: {
    use: "honoured",
    shape: { is: "text", among: ["float", "base64"] },
    about: "float, the default, answers lists of numbers; base64 the bytes of f32 little endian.",
  },
  dimensions: {
    use: "honoured",
    shape: { is: "integer", least: 1 },
    about: "Length of an embedding; only the model's own length is taken.",
  },
  ...PLACEMENT_FIELDS,
  user,
} as const satisfies Fields;

/** An embedding request that passed. */
export type EmbeddingBody = Body<typeof EMBEDDING_FIELDS>;

/** Checks the body of POST /v1/embeddings. */
export const checkEmbedding: RequestCheck<typeof EMBEDDING_FIELDS> = compileCheck(EMBEDDING_FIELDS, [], OTHER_NAMES);
