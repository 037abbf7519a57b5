import { ENUM_KINDS } from "./enum-kinds.ts";
import { FIELD_KINDS } from "./field-kinds.ts";
import { FILE_KINDS } from "./file-kinds.ts";
import type { Kind } from "./kind.ts";
import { MESSAGE_KINDS } from "./message-kinds.ts";
import { SERVICE_KINDS } from "./service-kinds.ts";
import { TYPE_KINDS } from "./type-kinds.ts";

/** Every kind of difference that two contracts can have, with its words and its verdicts. The table is closed. */
export const KINDS = {
  ...FILE_KINDS,
  ...SERVICE_KINDS,
  ...MESSAGE_KINDS,
  ...FIELD_KINDS,
  ...TYPE_KINDS,
  ...ENUM_KINDS,
} as const satisfies Readonly<Record<string, Kind>>;

/** Name of a kind. */
export type KindName = keyof typeof KINDS;

/** The row of a kind, with the wide types. */
export function kindOf(name: KindName): Kind {
  return KINDS[name];
}
