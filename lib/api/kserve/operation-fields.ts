import type { Fields } from "../field.ts";

const text = { is: "text" } as const;
const count = { is: "integer", least: 0 } as const;
const truth = { is: "boolean" } as const;
const whole = { is: "map", of: { is: "union", of: [truth, { is: "integer" }, text] }, most: 64 } as const;

/** Fields of POST /v2/repository/index. */
export const INDEX_FIELDS = {
  ready: { use: "honoured", shape: truth, about: "Those alone that answer now." },
} as const satisfies Fields;

/** Fields of POST /v2/repository/models/{model}/load and unload. */
export const LOAD_FIELDS = {
  parameters: {
    use: "honoured",
    shape: whole,
    about: "How it is to be done; the bytes of a parameter file:… are base64.",
  },
} as const satisfies Fields;

/** Fields of POST /v2/systemsharedmemory/region/{region}/register. */
export const SYSTEM_REGION_FIELDS = {
  key: { use: "honoured", shape: text, required: true, about: "Of the memory object, such as /input." },
  offset: { use: "honoured", shape: count, about: "Where the region begins in it, bytes; 0 by default." },
  byte_size: { use: "honoured", shape: count, required: true, about: "How long the region is, bytes." },
} as const satisfies Fields;

/** Fields of POST /v2/cudasharedmemory/region/{region}/register. */
export const CUDA_REGION_FIELDS = {
  raw_handle: {
    use: "honoured",
    shape: {
      is: "object",
      fields: { b64: { use: "honoured", shape: text, required: true, about: "The handle as base64." } },
    },
    required: true,
    about: "The handle that the driver gave.",
  },
  device_id: { use: "honoured", shape: { is: "integer" }, required: true, about: "Of the device." },
  byte_size: { use: "honoured", shape: count, required: true, about: "How long the region is, bytes." },
} as const satisfies Fields;
