import { repeatInt32 } from "./examples/repeat-int32.ts";
import { simple } from "./examples/simple.ts";
import { simpleIdentity } from "./examples/simple-identity.ts";
import { simpleInt8 } from "./examples/simple-int8.ts";
import { simpleString } from "./examples/simple-string.ts";
import type { TensorModel } from "./model.ts";

/** The models that come along, with the names and tensors by which other projects' client examples know them. */
export const TENSOR_EXAMPLES: readonly TensorModel[] = [simple, simpleInt8, simpleString, simpleIdentity, repeatInt32];
