import { create, toBinary } from "@bufbuild/protobuf";
import {
  type InputPart,
  InputPartSchema,
  KvSessionSchema,
  MediaSchema,
  RoomSchema,
  type Submit,
} from "#gen/stator/worker/v1/link_pb";
import { StatorError } from "#lib/base/errors";
import { LINK_FEATURES } from "./features.ts";
import type { SubmitInit } from "./link.ts";

/** Room for tags, lengths and numbers of a Submit, generously. */
const SUBMIT_FRAME_BYTES = 512;
/** The same for an InputPart and the message around it. */
const PART_FRAME_BYTES = 64;
/** Tag and length of one of several media. */
const MEDIA_FRAME_BYTES = 8;
/** Most bytes that one UTF-16 code unit takes in UTF-8. */
const UNIT_BYTES = 3;
/** A part has room for this much at the least: two units are a character, whatever it is. */
const LEAST_PART_BYTES = 2 * UNIT_BYTES;

const NO_BYTES = new Uint8Array(0);

/** What of a request may be so long that it goes on in parts. */
interface Long {
  readonly promptTokenIds: Uint8Array;
  readonly promptText: string;
  readonly generatedTokenIds: Uint8Array;
  readonly guidanceText: Uint8Array;
}

/** Bytes that a Submit takes at most, all of it. */
export function submitBytes(submit: SubmitInit): number {
  const { guidance } = submit;
  const text = submit.promptText.length + (guidance?.grammar.length ?? 0);
  const bytes = submit.promptTokenIds.length + submit.generatedTokenIds.length + (guidance?.text.length ?? 0);
  return fixedBytes(submit) + text * UNIT_BYTES + bytes;
}

/** Of these, what no worker takes in parts. */
function fixedBytes(submit: SubmitInit): number {
  const { requestId, model, cacheSalt, traceparent, sampling, stopping, session, room, media } = submit;
  let bytes =
    SUBMIT_FRAME_BYTES +
    (requestId.length + model.length + cacheSalt.length + traceparent.length) * UNIT_BYTES +
    (sampling ? sampling.biasTokenIds.length + sampling.biasValues.length : 0) +
    (stopping?.stopTokenIds.length ?? 0) +
    submit.engineExtras.length;
  if (session) bytes += toBinary(KvSessionSchema, session).length;
  if (room) bytes += toBinary(RoomSchema, room).length;
  for (const one of media) bytes += MEDIA_FRAME_BYTES + toBinary(MediaSchema, one).length;
  return bytes;
}

/** Bytes that an InputPart takes at most. */
export function partBytes(part: InputPart): number {
  return PART_FRAME_BYTES + longBytes(part);
}

function longBytes({ promptTokenIds, promptText, generatedTokenIds, guidanceText }: Long): number {
  return promptTokenIds.length + promptText.length * UNIT_BYTES + generatedTokenIds.length + guidanceText.length;
}

/**
 * A request as frames of at most `maxBytes` each: the Submit and, when it is longer, the rest of it as parts. To a worker
 * without the feature parts only the prompt goes on. Throws INVALID_ARGUMENT when what never goes on is too long alone, and
 * WORKER_OUTDATED when a worker with that feature could take it.
 */
export function splitSubmit(
  submit: SubmitInit,
  handle: number,
  peer: { readonly maxBytes: number; readonly features: readonly string[] },
): { first: Submit; parts: InputPart[] } {
  const { maxBytes, features } = peer;
  const bytes = submitBytes(submit);
  if (bytes <= maxBytes) return { first: firstOf(submit, handle, {}), parts: [] };
  const hasParts = features.includes(LINK_FEATURES.parts);
  const long = longOf(submit, hasParts);
  const room = maxBytes - (bytes - longBytes(long));
  const isPossible = maxBytes >= Math.max(fixedBytes(submit), PART_FRAME_BYTES + LEAST_PART_BYTES);
  if (!isPossible) throw tooLong(maxBytes);
  if (room < 0) throw new StatorError("WORKER_OUTDATED", { what: "an answer or a form of this length" });
  const rest = new Rest(long);
  const head = rest.take(room);
  const parts: InputPart[] = [];
  do {
    const piece = rest.take(maxBytes - PART_FRAME_BYTES);
    parts.push(create(InputPartSchema, { handle, ...piece, last: rest.isEmpty }));
  } while (!rest.isEmpty);
  const { guidanceText, promptTokenIds, promptText, generatedTokenIds } = head;
  const more = hasParts && {
    generatedTokenIds,
    guidance: submit.guidance && { ...submit.guidance, text: guidanceText },
  };
  return {
    first: firstOf(submit, handle, { promptTokenIds, promptText, ...more, moreInput: true }),
    parts,
  };
}

function tooLong(maxBytes: number): StatorError {
  const detail = `A request takes more than ${maxBytes} bytes beside its prompt, its form and what was answered of it`;
  return new StatorError("INVALID_ARGUMENT", { detail });
}

/** Written out: `create` walks a table of the fields, once for every request. */
function firstOf(submit: SubmitInit, handle: number, part: Partial<Submit>): Submit {
  return { $typeName: "stator.worker.v1.Submit", moreInput: false, ...submit, handle, ...part };
}

function longOf({ promptTokenIds, promptText, generatedTokenIds, guidance }: SubmitInit, hasParts: boolean): Long {
  const prompt = { promptTokenIds, promptText };
  if (!hasParts) return { ...prompt, generatedTokenIds: NO_BYTES, guidanceText: NO_BYTES };
  return { ...prompt, generatedTokenIds, guidanceText: guidance?.text ?? NO_BYTES };
}

/** What has not been put into a frame. */
class Rest {
  #long: Long;

  constructor(long: Long) {
    this.#long = long;
  }

  get isEmpty(): boolean {
    return longBytes(this.#long) === 0;
  }

  /** The next of each field, as much as fits into `bytes` together; of ids whole ones, of text whole characters. */
  take(bytes: number): Long {
    const { promptTokenIds, promptText, generatedTokenIds, guidanceText } = this.#long;
    let room = bytes;
    const ids = (all: Uint8Array) => {
      const some = all.subarray(0, 4 * Math.floor(room / 4));
      room -= some.length;
      return some;
    };
    const prompt = ids(promptTokenIds);
    const text = promptText.slice(0, endOf(promptText, Math.floor(room / UNIT_BYTES)));
    room -= text.length * UNIT_BYTES;
    const generated = ids(generatedTokenIds);
    const form = guidanceText.subarray(0, room);
    this.#long = {
      promptTokenIds: promptTokenIds.subarray(prompt.length),
      promptText: promptText.slice(text.length),
      generatedTokenIds: generatedTokenIds.subarray(generated.length),
      guidanceText: guidanceText.subarray(form.length),
    };
    return { promptTokenIds: prompt, promptText: text, generatedTokenIds: generated, guidanceText: form };
  }
}

/** Where a text of at most `units` ends: a cut between the halves of a surrogate pair would not be a character. */
function endOf(text: string, units: number): number {
  const end = Math.min(text.length, units);
  return end < text.length && isHighSurrogate(text.charCodeAt(end - 1)) ? end - 1 : end;
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}
