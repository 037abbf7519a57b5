#pragma once
#include <cstddef>
#include <cstdint>

namespace stator {

/// The seed that chains local hashes to sequence hashes.
inline constexpr uint64_t kChainSeed = 1337;

/// Hashes the complete blocks of `tokens`: local[i] over the ids of block i (little endian) with `seed`, sequence[0] =
/// local[0], sequence[i] = XXH3(sequence[i-1], local[i]; kChainSeed). Returns the number of blocks, `count / block`. Blocks
/// before `from` are done: of them sequence[from-1] is read. `local` may be `sequence` where it is not wanted.
size_t hashBlocks(const uint32_t* tokens, size_t count, size_t block, uint64_t seed, uint64_t* local, uint64_t* sequence,
                  size_t from = 0);

}  // namespace stator
