import { create } from "@bufbuild/protobuf";
import { type InputPart, type Submit, SubmitSchema } from "#gen/stator/worker/v1/link_pb";
import { concat } from "./step.ts";

/** What keeping a piece costs beside its bytes. */
const PIECE_BYTES = 64;

/** A request of which parts are missing. */
export interface Gathered {
  /** The first frame. */
  readonly submit: Submit;
  /** Token ids of the prompt that came, in order, u32 little endian each. */
  readonly promptTokenIds: Uint8Array[];
  /** Text of the prompt that came. */
  promptText: string;
  /** Tokens of an earlier attempt that came, in order, u32 little endian each. */
  readonly generatedTokenIds: Uint8Array[];
  /** Text of the guidance that came, in order, in UTF-8. */
  readonly guidanceText: Uint8Array[];
  /** Of all these; text counts its UTF-16 units. */
  inputBytes: number;
  /** What it costs to keep them. */
  weightBytes: number;
}

/** A request whose first frame came. Keeps the frame. */
export function beginGathering(submit: Submit): Gathered {
  const gathered: Gathered = {
    submit,
    promptTokenIds: [],
    promptText: "",
    generatedTokenIds: [],
    guidanceText: [],
    inputBytes: 0,
    weightBytes: 0,
  };
  addPart(gathered, { ...submit, guidanceText: submit.guidance?.text ?? new Uint8Array(0) });
  return gathered;
}

/** Adds what a further frame brought; keeps it. */
export function addPart(
  gathered: Gathered,
  part: Pick<InputPart, "promptTokenIds" | "promptText" | "generatedTokenIds" | "guidanceText">,
): void {
  add(gathered, gathered.promptTokenIds, part.promptTokenIds);
  add(gathered, gathered.generatedTokenIds, part.generatedTokenIds);
  add(gathered, gathered.guidanceText, part.guidanceText);
  gathered.promptText += part.promptText;
  gathered.inputBytes += part.promptText.length;
  gathered.weightBytes += PIECE_BYTES + part.promptText.length;
}

function add(gathered: Gathered, pieces: Uint8Array[], piece: Uint8Array): void {
  if (piece.length === 0) return;
  pieces.push(piece);
  gathered.inputBytes += piece.length;
  gathered.weightBytes += PIECE_BYTES + piece.length;
}

/** The request as if it had come in one frame. */
export function joinParts({ submit, promptText, ...pieces }: Gathered): Submit {
  return create(SubmitSchema, {
    ...submit,
    promptTokenIds: concat(pieces.promptTokenIds),
    promptText,
    generatedTokenIds: concat(pieces.generatedTokenIds),
    guidance: submit.guidance && { ...submit.guidance, text: concat(pieces.guidanceText) },
    moreInput: false,
  });
}
