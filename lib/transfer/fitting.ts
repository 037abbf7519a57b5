import type { TransferScope } from "#gen/stator/common/v1/common_pb";
import { StatorError } from "#lib/base/errors";
import { convertible, type KvLayout } from "#lib/kv/layout";
import { parseLayout } from "#lib/kv/transfer-scope";

/** The layout that a message tells. Throws INVALID_ARGUMENT where it tells none that could be one. */
export function readLayout(scope: TransferScope | undefined): KvLayout {
  const layout = scope && parseLayout(scope, 0);
  if (layout && layout.blockTokens > 0) return layout;
  throw new StatorError("INVALID_ARGUMENT", { detail: "layout: it is missing or not known here" });
}

/** Throws CONTRACT_MISMATCH, with the name of the field, where blocks of the one cannot become blocks of the other. */
export function requireConvertible(from: KvLayout, to: KvLayout): void {
  const field = convertible(from, to);
  if (field === undefined) return;
  throw mismatch(`layout.${field}`, `${from[field]} does not become ${to[field]}`);
}

/** What is wanted and what is there do not go together. */
export function mismatch(what: string, detail: string): StatorError {
  return new StatorError("CONTRACT_MISMATCH", { what, detail });
}
