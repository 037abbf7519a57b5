import type { Fields } from "../field.ts";
import { DATATYPES, type Datatype } from "./datatypes.ts";

/** What a request of JSON may hold at most; the bytes of its body are bounded where they come in. */
export const JSON_INFER_LIMITS = {
  /** Tensors that go in, and those that are wanted. */
  tensors: 256,
  /** Dimensions of one. */
  dimensions: 16,
  /** Parameters in one place. */
  parameters: 128,
  /** UTF-16 units of a name or an id. */
  nameUnits: 1024,
  /** Texts of one request. */
  prompts: 2048,
} as const;

const DATATYPE_NAMES = Object.keys(DATATYPES) as readonly Datatype[];

const { tensors, dimensions, parameters: mostParameters, nameUnits } = JSON_INFER_LIMITS;
const name = { is: "text", leastLength: 1, mostLength: nameUnits } as const;
const count = { is: "integer", least: 0 } as const;

/** A whole number beyond 2^53 is a bigint. */
const SCALARS = [{ is: "boolean" }, { is: "number" }, { is: "text" }, { is: "int64" }] as const;
const any = { is: "any" } as const;

/** Parameters as messages have them. */
const parameters = { is: "map", of: { is: "union", of: SCALARS }, most: mostParameters } as const;

/** The same with lists and objects, which messages have only as members of `sampling_parameters`. */
const nestedParameters = {
  is: "map",
  of: { is: "union", of: [...SCALARS, { is: "list", of: any }, { is: "map", of: any }] },
  most: mostParameters,
} as const;

const input = {
  name: { use: "honoured", shape: name, required: true, about: "Of the tensor, as the model's metadata has it." },
  datatype: {
    use: "honoured",
    shape: { is: "text", among: DATATYPE_NAMES },
    required: true,
    about: "Of its elements.",
  },
  shape: {
    use: "honoured",
    shape: { is: "list", of: count, most: dimensions },
    required: true,
    about: "Elements in each dimension.",
  },
  data: {
    use: "honoured",
    shape: { is: "list", of: { is: "any" } },
    about: "The elements, flat or nested as the shape: numbers, true and false, or texts.",
  },
  parameters: {
    use: "honoured",
    shape: parameters,
    about:
      "binary_data_size: bytes of the tensor behind the JSON, in place of data; shared_memory_region, shared_memory_byte_size, shared_memory_offset: where it lies instead.",
  },
} as const satisfies Fields;

const output = {
  name: { use: "honoured", shape: name, required: true, about: "Of the tensor." },
  parameters: {
    use: "honoured",
    shape: parameters,
    about:
      "binary_data: whether it comes behind the JSON; shared_memory_region, shared_memory_byte_size, shared_memory_offset: where it is to lie instead.",
  },
} as const satisfies Fields;

/** Every field of POST /v2/models/{model}/infer. */
export const INFER_FIELDS = {
  model_name: {
    use: "honoured",
    shape: { is: "text", mostLength: nameUnits },
    about: "KServe's clients name the model here as well; the one of the path is asked.",
  },
  id: { use: "honoured", shape: { is: "text", mostLength: nameUnits }, about: "Comes back with the answer." },
  parameters: {
    use: "honoured",
    shape: parameters,
    about:
      "What holds for the request as a whole, sampling of a text model too; binary_data_output: tensors come behind the JSON unless an output says otherwise.",
  },
  inputs: {
    use: "honoured",
    shape: { is: "list", of: { is: "object", fields: input }, least: 1, most: tensors },
    required: true,
    about: "The tensors that go in.",
  },
  outputs: {
    use: "honoured",
    shape: { is: "list", of: { is: "object", fields: output }, most: tensors },
    about: "Those that are wanted; none: all that the model has.",
  },
} as const satisfies Fields;

/** Every field of POST /v2/models/{model}/generate and generate_stream; what else stands there is a parameter. */
export const GENERATE_FIELDS = {
  id: INFER_FIELDS.id,
  text_input: {
    use: "honoured",
    shape: {
      is: "union",
      of: [{ is: "text" }, { is: "list", of: { is: "text" }, least: 1, most: JSON_INFER_LIMITS.prompts }],
    },
    required: true,
    about: "A prompt, or several.",
  },
  parameters: {
    use: "honoured",
    shape: nestedParameters,
    about: "Sampling and what else the parameters of a request may say; they may stand beside text_input as well.",
  },
} as const satisfies Fields;
