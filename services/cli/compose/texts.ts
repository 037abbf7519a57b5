import { StatorError } from "#lib/base/errors";
import { systemClock } from "#lib/host/system-clock";
import { loadNative, type NativeAddon, nativeUnavailable } from "#lib/native/addon";
import type { Llama } from "#lib/native/llama";
import { locateLlama } from "#lib/native/location";
import { TEMPLATE_LIMITS } from "#lib/text/template";
import { createTextOpener, type TextOpener } from "#services/frontend/tokenize/open-text";
import type { ProcessContext } from "../command.ts";

/** What turns text into tokens: the native addon where it is built, else JavaScript; the log says which. */
export function openTexts({ values, log }: ProcessContext): TextOpener {
  const wanted = values["tokenizer.engine"];
  const native = wanted === "javascript" ? undefined : loadNative();
  if (wanted === "native" && native?.unavailable !== undefined) {
    throw new StatorError("NATIVE_UNAVAILABLE", nativeUnavailable(native));
  }
  const addon = native?.addon;
  log.info("tokenizer", { engine: addon ? "native" : "javascript" });
  return createTextOpener({
    ...{ addon, library: () => addon && openLibrary(addon), clock: systemClock, log },
    templateLimits: {
      ...TEMPLATE_LIMITS,
      mostSteps: values["template.max-steps"],
      mostLength: values["template.max-length"],
      mostMs: values["template.max-ms"],
    },
    cacheBytes: values["tokenizer.cache-bytes"],
  });
}

function openLibrary(addon: NativeAddon): Llama | undefined {
  const { options } = locateLlama();
  return options && addon.openLlama({ ...options, backends: [] });
}
