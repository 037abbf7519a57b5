import type { DescEnum, DescMessage } from "@bufbuild/protobuf";
import { Edition, FeatureSet_JsonFormat as JsonFormat } from "@bufbuild/protobuf/wkt";

/** How the JSON form of a message or an enum is promised, as features of it and of what is around it say. */
export function jsonFormatOf(element: DescMessage | DescEnum): string {
  for (let one: DescMessage | DescEnum | undefined = element; one; one = one.parent) {
    const format = one.proto.options?.features?.jsonFormat;
    if (format) return JsonFormat[format];
  }
  const format = element.file.proto.options?.features?.jsonFormat;
  if (format) return JsonFormat[format];
  return element.file.edition === Edition.EDITION_PROTO2 ? "LEGACY_BEST_EFFORT" : "ALLOW";
}
