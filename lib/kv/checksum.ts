/** Seed of the XXH3-64 that goes along with the bytes of a block: "STKV", little endian. */
export const CHECKSUM_SEED = 0x564b5453n;
