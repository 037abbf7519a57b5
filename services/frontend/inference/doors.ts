import type { Door } from "../doors/door.ts";
import { INFER_PRINTERS } from "../doors/kserve/print.ts";
import { type InferForm, KSERVE_WORDS } from "../doors/kserve/read.ts";
import { encodedPrinters, encodeOnStream, encodeWhole } from "./encoded-printers.ts";

/** Name of the door, for counters and records. */
export const KSERVE = "kserve";

/** The door of ModelInfer: one answer, as a ModelInferResponse. */
export const WHOLE: Door<InferForm, Uint8Array> = {
  name: KSERVE,
  words: KSERVE_WORDS,
  printers: encodedPrinters(INFER_PRINTERS, encodeWhole),
};

/** The door of ModelStreamInfer: any number of answers, each a ModelStreamInferResponse. */
export const STREAMED: Door<InferForm, Uint8Array> = {
  name: KSERVE,
  words: KSERVE_WORDS,
  printers: encodedPrinters(INFER_PRINTERS, encodeOnStream),
};
