import { GENERATE_STREAM_ROUTE } from "#lib/api/kserve/routes";
import type { HttpDoor } from "../door.ts";
import { printKserveError } from "../kserve/error.ts";
import { type InferForm, KSERVE_WORDS } from "../kserve/read.ts";
import { printers } from "./print.ts";
import { reader } from "./read.ts";

/** POST /v2/models/{model}/generate_stream. */
export const GENERATE_STREAM: HttpDoor<InferForm> = {
  name: "generate_stream",
  words: KSERVE_WORDS,
  api: GENERATE_STREAM_ROUTE,
  reader,
  printers,
  printError: printKserveError,
  modelPart: "model",
  binary: true,
};
