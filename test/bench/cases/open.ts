// Opening a vocabulary: ours, from the bytes of the artifact to an encoder, against the library's opening of the same bytes
// as a file, as ratios of the time that passes, in turn.
//   node test/bench/cases/open.ts [NAME_PART]
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { checkVocabulary } from "#lib/text/vocabulary";
import { openNative } from "../../support/engine-driver.ts";
import { median, runCases, timed, volume } from "../harness.ts";
import { MARKS_TEMPLATE, openFrontendEncoder, openModelText, type RealVocabularySize, realModel } from "../models.ts";

const ROUNDS = volume(15, 1);

const ms = () => performance.now();

async function run(size: RealVocabularySize): Promise<object> {
  const model = realModel(size);
  if (typeof model === "string") return { skipped: model };
  const native = openNative();
  if (native.reason !== undefined) return { skipped: native.reason };
  const folder = mkdtempSync(path.join(tmpdir(), "stator-bench-"));
  const file = path.join(folder, "vocabulary.gguf");
  writeFileSync(file, model.bytes);
  const rounds: { checkMs: number; encoderMs: number; textMs: number; libraryMs: number }[] = [];

  const ours = async () => {
    const [checkMs, vocabulary] = await timed(ms, () => checkVocabulary(model.bytes));
    const [encoderMs, encoder] = await timed(ms, () => openFrontendEncoder({ ...model, vocabulary }));
    await encoder.close();
    const [textMs, text] = await timed(ms, () => openModelText(model, MARKS_TEMPLATE));
    await text.close();
    return { checkMs, encoderMs, textMs };
  };
  const library = async () => {
    const [libraryMs, vocab] = await timed(ms, () => native.llama.openVocab(file));
    vocab.close();
    return { libraryMs };
  };
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const libraryFirst = round % 2 === 0 ? await library() : undefined;
      const own = await ours();
      rounds.push({ ...own, ...(libraryFirst ?? (await library())) });
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  const of = (figure: keyof (typeof rounds)[0]) => median(rounds.map((each) => each[figure]));
  const [checkMs, encoderMs, textMs, libraryMs] = [of("checkMs"), of("encoderMs"), of("textMs"), of("libraryMs")];
  return { ratio: (checkMs + encoderMs) / libraryMs, whole: textMs / libraryMs, checkMs, encoderMs, libraryMs };
}

await runCases({
  "open/152k": () => run("152k"),
  "open/128k": () => run("128k"),
  "open/32k-scored": () => run("32k-scored"),
});
