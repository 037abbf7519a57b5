import { defineTensorModel } from "../model.ts";

const texts = { datatype: "BYTES", shape: [-1, -1] } as const;

/** Gives back what it takes. */
export const simpleIdentity = defineTensorModel({
  name: "simple_identity",
  maxBatch: 8,
  inputs: { INPUT0: texts },
  outputs: { OUTPUT0: texts },
  infer: ({ INPUT0 }) => ({ OUTPUT0: INPUT0 }),
});
