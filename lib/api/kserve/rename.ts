import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** Field number of the model's name in every request that names one to be inferred or described. */
const MODEL_NAME = 1;

/**
 * A request for a model under another name: of a field that comes twice the last one counts. Copies the bytes. They are a
 * ModelInferRequest, a ModelMetadataRequest or a ModelConfigRequest, of which nothing else is read or changed.
 */
export function withModelName(bytes: Uint8Array, name: string): Uint8Array {
  const field = new BinaryWriter().tag(MODEL_NAME, WireType.LengthDelimited).string(name).finish();
  const renamed = new Uint8Array(bytes.length + field.length);
  renamed.set(bytes);
  renamed.set(field, bytes.length);
  return renamed;
}
