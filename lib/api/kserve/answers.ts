import type { Fields, Shape } from "../field.ts";

const text = { is: "text" } as const;
const count = { is: "integer", least: 0 } as const;
const any = { is: "any" } as const;
const texts = { is: "list", of: text } as const;
const truth = { is: "boolean" } as const;

function always(shape: Shape, about: string) {
  return { use: "honoured", shape, required: true, about } as const;
}

function sometimes(shape: Shape, about: string) {
  return { use: "honoured", shape, about } as const;
}

const tensor = {
  name: always(text, "Of the tensor."),
  datatype: always(text, "Of its elements, such as BYTES."),
  shape: always({ is: "list", of: { is: "integer" } }, "Elements in each dimension; -1 where it varies."),
};
const tensors = { is: "list", of: { is: "object", fields: tensor } } as const;

const head = {
  model_name: always(text, "As asked for."),
  model_version: always(text, "Of the model."),
  id: sometimes(text, "That of the request."),
  parameters: sometimes({ is: "map", of: any }, "Tokens that were used, and what else the model tells."),
};

/** Shapes of the answers below /v2 by the name of their schema. */
export const KSERVE_ANSWERS = {
  InferAnswer: {
    ...head,
    outputs: always(
      {
        is: "list",
        of: {
          is: "object",
          fields: {
            ...tensor,
            data: sometimes({ is: "list", of: any }, "The elements, flat; a number that JSON does not have is null."),
            parameters: sometimes(
              { is: "map", of: any },
              "binary_data_size: bytes of it behind the JSON, in the order of the outputs.",
            ),
          },
        },
      },
      "The tensors that come out.",
    ),
  },
  GenerateAnswer: {
    ...head,
    text_output: sometimes({ is: "union", of: [text, texts] }, "What the model wrote; a list for several prompts."),
    finish_reason: sometimes({ is: "union", of: [text, texts] }, "stop or length."),
  },
  ServerMetadata: {
    name: always(text, "What the server calls itself."),
    version: always(text, "Of the program."),
    extensions: always(texts, "What it speaks beside the protocol."),
  },
  InferModelList: { models: always(texts, "Names that a request would be answered for now.") },
  ModelMetadata: {
    name: always(text, "Of the model."),
    versions: always(texts, "That it has."),
    platform: always(text, "What runs it."),
    inputs: always(tensors, "What goes in."),
    outputs: always(tensors, "What comes out."),
    properties: sometimes({ is: "map", of: text }, "What else is known."),
  },
  ModelConfiguration: { name: always(text, "Of the model."), platform: always(text, "What runs it.") },
  ModelStatistics: {
    model_stats: always({ is: "list", of: any }, "One for each name: counts, and times in nanoseconds."),
  },
  Live: { live: always(truth, "Always true.") },
  Ready: { ready: always(truth, "Whether some request would be answered now.") },
  ModelReady: {
    name: always(text, "Of the model."),
    ready: always(truth, "Whether a request for it would be answered now."),
  },
  RepositoryIndex: {
    name: always(text, "Of the model."),
    version: always(text, "Of the model."),
    state: always({ is: "text", among: ["READY", "UNAVAILABLE", "LOADING", "UNLOADING"] }, "How far it is."),
    reason: always(text, "Why it is not ready; else empty."),
  },
  ModelLoaded: {
    name: always(text, "Of the model or adapter."),
    load: sometimes(truth, "It is there now."),
    unload: sometimes(truth, "It is gone now."),
  },
  SystemRegions: {
    name: always(text, "Of the region."),
    key: always(text, "Of the memory object."),
    offset: always(count, "Where the region begins in it, bytes."),
    byte_size: always(count, "How long it is, bytes."),
  },
  CudaRegions: {
    name: always(text, "Of the region."),
    device_id: always(count, "Of the device."),
    byte_size: always(count, "How long it is, bytes."),
  },
  Settings: {},
  Done: {},
  InferError: { error: always(text, "One sentence.") },
} as const satisfies Readonly<Record<string, Fields>>;
