import { INFER_ROUTE } from "#lib/api/kserve/routes";
import type { HttpDoor } from "../door.ts";
import { printKserveError } from "../kserve/error.ts";
import { KSERVE_WORDS } from "../kserve/read.ts";
import { printers } from "./print.ts";
import { type HttpInferForm, LENGTH_HEADER, reader } from "./read.ts";

/** POST /v2/models/{model}/infer. */
export const INFER: HttpDoor<HttpInferForm> = {
  name: "infer",
  words: KSERVE_WORDS,
  api: INFER_ROUTE,
  reader,
  printers,
  printError: printKserveError,
  modelPart: "model",
  headers: [LENGTH_HEADER],
  binary: true,
  tensors: true,
};
