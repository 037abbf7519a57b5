import { StatorError } from "#lib/base/errors";
import { systemClock } from "#lib/host/system-clock";
import { loadNative } from "#lib/native/addon";
import type { Llama } from "#lib/native/llama";
import { locateLlama } from "#lib/native/location";
import { TEMPLATE_LIMITS } from "#lib/text/template";
import { createTextOpener, type TextOpener } from "#services/frontend/tokenize/open-text";
import type { ProcessContext } from "../command.ts";
import { llamaUnavailable } from "./engine-choice.ts";

/** What turns text into tokens: the native library where it is built, else JavaScript; the log says which. */
export function openTexts({ values, log }: ProcessContext): TextOpener {
  const wanted = values["tokenizer.engine"];
  const llama = wanted === "javascript" ? undefined : openLibrary();
  if (wanted === "native" && !llama) throw new StatorError("NATIVE_UNAVAILABLE", llamaUnavailable());
  log.info("tokenizer", { engine: llama ? "native" : "javascript" });
  return createTextOpener({
    ...{ llama, clock: systemClock, log },
    templateLimits: {
      ...TEMPLATE_LIMITS,
      mostSteps: values["template.max-steps"],
      mostLength: values["template.max-length"],
      mostMs: values["template.max-ms"],
    },
    cacheBytes: values["tokenizer.cache-bytes"],
  });
}

function openLibrary(): Llama | undefined {
  const { addon } = loadNative();
  const { options } = locateLlama();
  return addon && options ? addon.openLlama({ ...options, backends: [] }) : undefined;
}
