import { MODEL_OPERATIONS } from "./model-operations.ts";
import type { Operation } from "./operations.ts";
import { OPERATOR_OPERATIONS } from "./operator-operations.ts";

/** Every method of the inference service that HTTP has, but for inference itself, which is a door. */
export const OPERATIONS: readonly Operation[] = [...MODEL_OPERATIONS, ...OPERATOR_OPERATIONS];
