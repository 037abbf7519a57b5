/** An answer as HTTP has it; a long one has its JSON as UTF-8. */
export interface PrintedAnswer {
  /** All of it, or what comes before the contents. */
  readonly json: string | Uint8Array;
  /** Raw tensors, in the order of the outputs that are not in the JSON. */
  readonly contents: readonly Uint8Array[];
}
