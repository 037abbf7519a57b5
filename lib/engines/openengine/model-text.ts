import type { DefaultSampling, SaidSampling } from "#lib/base/sampling";
import type { Log } from "#lib/host/log";
import { createBytePairEncoder } from "#lib/text/byte-pair";
import { pieceTable } from "#lib/text/pieces";
import { tokenBits } from "#lib/text/special";
import { createTokenizer } from "#lib/text/tokenizer";
import type { Vocabulary } from "#lib/text/vocabulary";
import { readDefaultSampling } from "../default-sampling.ts";
import type { EngineArtifact, EngineText } from "../engine.ts";
import { readModelHeader, textArtifacts } from "../model-file.ts";

/** What a model's file tells of its text; its weights are not read. */
export interface ModelText {
  /** What callers need to talk to it; none without a file. */
  readonly artifacts: readonly EngineArtifact[];
  /** Its tokenizer; undefined without a file. */
  readonly text: EngineText | undefined;
  /** Ids are below it; undefined without a file. */
  readonly vocabularySize: number | undefined;
  /** For requests that name no value. */
  readonly defaultSampling: DefaultSampling;
}

/** Reads it. Throws FILE_NOT_FOUND or BAD_MODEL_FILE. */
export async function readModelText(
  path: string | undefined,
  { sampling, log }: { readonly sampling: SaidSampling | undefined; readonly log: Log },
): Promise<ModelText> {
  if (path === undefined) {
    const defaultSampling = sampling?.values ?? {};
    return { artifacts: [], text: undefined, vocabularySize: undefined, defaultSampling };
  }
  const header = await readModelHeader(path);
  const { vocabulary, artifacts } = textArtifacts(header);
  return {
    artifacts,
    text: textOf(vocabulary),
    vocabularySize: vocabulary.size,
    defaultSampling: readDefaultSampling(header, sampling, log),
  };
}

function textOf(vocabulary: Vocabulary): EngineText {
  const tokenizer = createTokenizer(vocabulary, { encoder: createBytePairEncoder(vocabulary) });
  const { offsets, bytes } = pieceTable(vocabulary, tokenBits(vocabulary));
  return {
    tokenize: (text) => tokenizer.encode(text, { parseSpecial: true, addSpecial: true }),
    piece: (token) => bytes.subarray(offsets[token] ?? 0, offsets[token + 1] ?? 0),
  };
}
