import { defineTensorModel } from "../model.ts";

/** Answers once for each number of IN, DELAY milliseconds after the one before, and is done WAIT milliseconds after the last. */
export const repeatInt32 = defineTensorModel({
  name: "repeat_int32",
  inputs: {
    IN: { datatype: "INT32", shape: [-1] },
    DELAY: { datatype: "UINT32", shape: [-1] },
    WAIT: { datatype: "UINT32", shape: [1] },
  },
  outputs: { OUT: { datatype: "INT32", shape: [1] } },
  async *stream({ IN, DELAY, WAIT }, call) {
    if (IN.values.length !== DELAY.values.length) call.refuse("IN and DELAY have as many elements as each other");
    for (const [at, value] of IN.values.entries()) {
      await call.wait(DELAY.values[at] ?? 0);
      yield { OUT: { shape: [1], values: Int32Array.of(value) } };
    }
    await call.wait(WAIT.values[0] ?? 0);
  },
});
