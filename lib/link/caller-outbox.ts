import { create } from "@bufbuild/protobuf";
import { CancelMode, GoodbyeSchema, HelloSchema, type LinkRequest, PingSchema } from "#gen/stator/worker/v1/link_pb";
import { writeU32 } from "#lib/base/bytes";
import { type CallerState, emptyOutbox } from "./caller-state.ts";
import { LINK_REVISIONS } from "./limits.ts";
import { partBytes, submitBytes } from "./split.ts";

/** Handles that one Cancel names at most. */
const HANDLES_PER_CANCEL = 16_384;

/** Takes what waits as messages within the limit: one for a usual turn, more when it does not fit. */
export function takeOutbox(state: CallerState): LinkRequest[] {
  const box = state.outbox;
  state.outbox = emptyOutbox();
  const packer = new Packer(state.maxMessageBytes);
  if (box.hello) {
    packer.open(256).hello = create(HelloSchema, {
      minimumRevision: LINK_REVISIONS.minimum,
      maximumRevision: LINK_REVISIONS.maximum,
      caller: state.caller,
      features: [...state.features],
    });
  }
  for (const submit of box.submits) packer.open(submitBytes(submit)).submits.push(submit);
  for (const part of box.parts) packer.open(partBytes(part)).parts.push(part);
  for (const [handles, mode] of [
    [box.stop, CancelMode.STOP],
    [box.kill, CancelMode.KILL],
  ] as const) {
    for (let at = 0; at < handles.length; at += HANDLES_PER_CANCEL) {
      const some = writeU32(handles.slice(at, at + HANDLES_PER_CANCEL));
      packer.open(some.byteLength + 16).cancels.push({ $typeName: "stator.worker.v1.Cancel", handles: some, mode });
    }
  }
  for (const nonce of box.pings) packer.openWithout("ping").ping = create(PingSchema, { nonce });
  if (box.goodbye) packer.openWithout("goodbye").goodbye = create(GoodbyeSchema);
  return packer.messages;
}

/** Fills messages up to the limit. Later parts never go into an earlier message, so their order holds. */
class Packer {
  readonly messages: LinkRequest[] = [];
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  open(bytes: number): LinkRequest {
    const last = this.messages[this.messages.length - 1];
    if (last && this.#bytes + bytes <= this.#maxBytes) {
      this.#bytes += bytes;
      return last;
    }
    this.#bytes = bytes;
    const next: LinkRequest = { $typeName: "stator.worker.v1.LinkRequest", submits: [], parts: [], cancels: [] };
    this.messages.push(next);
    return next;
  }

  openWithout(field: "ping" | "goodbye"): LinkRequest {
    const message = this.open(16);
    return message[field] === undefined ? message : this.open(this.#maxBytes);
  }
}
