import type { MessageInitShape } from "@bufbuild/protobuf";
import type { TransferScope, TransferScopeSchema } from "#gen/stator/common/v1/common_pb";
import { StatorError } from "#lib/base/errors";
import { type KvLayout, layoutDifference } from "#lib/kv/layout";

/** A layout as messages have it. */
export function printLayout(layout: KvLayout): MessageInitShape<typeof TransferScopeSchema> {
  return { ...layout };
}

/** The layout that a message tells. Throws INVALID_ARGUMENT where it tells none. */
export function readLayout(scope: TransferScope | undefined): KvLayout {
  if (!scope) throw new StatorError("INVALID_ARGUMENT", { detail: "layout: nothing was said" });
  const { layers, blockTokens, keyRowBytes, valueRowBytes, elementType, engineFormat } = scope;
  return { layers, blockTokens, keyRowBytes, valueRowBytes, elementType, engineFormat };
}

/** Throws CONTRACT_MISMATCH, with the name of the field, where blocks of the one cannot become blocks of the other. */
export function requireConvertible(from: KvLayout, to: KvLayout): void {
  const difference = layoutDifference(from, to);
  if (difference !== undefined) throw new StatorError("CONTRACT_MISMATCH", { what: "The layout", detail: difference });
}
