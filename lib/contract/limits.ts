/** What a comparison takes at most. */
export interface ContractLimits {
  /** Longest image, bytes. */
  readonly imageBytes: number;
  /** Messages, enums, services, fields, values and methods of one contract together. */
  readonly elements: number;
  /** Differences between two contracts. */
  readonly differences: number;
}

/** Bounds that the largest contracts in the field stay far below. */
export const CONTRACT_LIMITS: ContractLimits = { imageBytes: 67_108_864, elements: 500_000, differences: 20_000 };
