import { create } from "@bufbuild/protobuf";
import { type InputPart, InputPartSchema, type Submit } from "#gen/stator/worker/v1/link_pb";
import { StatorError } from "#lib/base/errors";
import type { SubmitInit } from "./link.ts";

/** Room for tags, lengths and numbers of a Submit, generously. */
const SUBMIT_FRAME_BYTES = 512;
/** The same for an InputPart and the message around it. */
const PART_FRAME_BYTES = 64;
/** Most bytes that one UTF-16 code unit takes in UTF-8. */
const UNIT_BYTES = 3;

/** Bytes that a Submit takes at most, prompt included. */
export function submitBytes(submit: SubmitInit): number {
  return fixedBytes(submit) + submit.promptTokenIds.length + submit.promptText.length * UNIT_BYTES;
}

/** Bytes that an InputPart takes at most. */
export function partBytes(part: InputPart): number {
  return PART_FRAME_BYTES + part.promptTokenIds.length + part.promptText.length * UNIT_BYTES;
}

function fixedBytes(submit: SubmitInit): number {
  const text = submit.requestId.length + submit.model.length + submit.cacheSalt.length + submit.traceparent.length;
  return (
    SUBMIT_FRAME_BYTES +
    (text + (submit.guidance?.grammar.length ?? 0)) * UNIT_BYTES +
    submit.generatedTokenIds.length +
    (submit.sampling ? submit.sampling.biasTokenIds.length + submit.sampling.biasValues.length : 0) +
    (submit.stopping?.stopTokenIds.length ?? 0)
  );
}

/**
 * A request as frames of at most `maxBytes` each: the Submit and, when the prompt is longer, the rest of it as parts.
 * Throws INVALID_ARGUMENT when everything else alone is too long.
 */
export function splitSubmit(
  submit: SubmitInit,
  handle: number,
  maxBytes: number,
): { first: Submit; parts: InputPart[] } {
  if (submitBytes(submit) <= maxBytes) {
    return { first: firstOf(submit, handle, {}), parts: [] };
  }
  const room = maxBytes - fixedBytes(submit);
  if (room < 4) {
    throw new StatorError("INVALID_ARGUMENT", {
      detail: `A request is longer than ${maxBytes} bytes beside its prompt`,
    });
  }
  const tokens = cutTokens(submit.promptTokenIds, room, maxBytes - PART_FRAME_BYTES);
  const text = cutText(submit.promptText, room / UNIT_BYTES, (maxBytes - PART_FRAME_BYTES) / UNIT_BYTES);
  const parts: InputPart[] = [];
  const count = Math.max(tokens.length, text.length);
  for (let at = 1; at < count; at++) {
    const promptTokenIds = tokens[at] ?? new Uint8Array(0);
    parts.push(create(InputPartSchema, { handle, promptTokenIds, promptText: text[at] ?? "", last: at === count - 1 }));
  }
  return {
    first: firstOf(submit, handle, {
      promptTokenIds: tokens[0] ?? new Uint8Array(0),
      promptText: text[0] ?? "",
      moreInput: parts.length > 0,
    }),
    parts,
  };
}

/** Written out: `create` walks a table of the fields, once for every request. */
function firstOf(submit: SubmitInit, handle: number, part: Partial<Submit>): Submit {
  return { $typeName: "stator.worker.v1.Submit", moreInput: false, ...submit, handle, ...part };
}

function cutTokens(bytes: Uint8Array, firstBytes: number, nextBytes: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let at = 0;
  while (at < bytes.length) {
    const end = at + 4 * Math.floor((pieces.length === 0 ? firstBytes : nextBytes) / 4);
    pieces.push(bytes.subarray(at, end));
    at = end;
  }
  return pieces;
}

function cutText(text: string, firstUnits: number, nextUnits: number): string[] {
  const pieces: string[] = [];
  let at = 0;
  while (at < text.length) {
    let end = at + Math.max(2, Math.floor(pieces.length === 0 ? firstUnits : nextUnits));
    // A cut between the halves of a surrogate pair would not be a character.
    if (end < text.length && isHighSurrogate(text.charCodeAt(end - 1))) end--;
    pieces.push(text.slice(at, end));
    at = end;
  }
  return pieces;
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}
