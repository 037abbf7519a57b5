#pragma once
#include <cstddef>
#include <cstdint>

namespace stator {

/// The seed that chains local hashes to sequence hashes.
inline constexpr uint64_t kChainSeed = 1337;

/// Hashes the complete blocks of `tokens`: local[i] over the ids of block i (little endian) with `seed`, sequence[0] =
/// local[0], sequence[i] = XXH3(sequence[i-1], local[i]; kChainSeed). Returns the number of blocks, `count / block`.
size_t hashBlocks(const uint32_t* tokens, size_t count, size_t block, uint64_t seed, uint64_t* local, uint64_t* sequence);

/// Blocks of `tokens`, and how far a hash looks into the block that follows (0 or 1).
struct BlockShape {
  const uint32_t* tokens;
  size_t block;
  size_t ahead;
  uint64_t seed;
};

/// Objects among the tokens: block of each (ascending), hash of each.
struct BlockObjects {
  const uint32_t* blocks;
  const uint64_t* hashes;
  size_t count;
};

/// Writes the local hashes of blocks from..to-1 at their own indices: over the ids of the block and `ahead` further ones,
/// followed by the hashes of its objects in ascending order.
void hashContents(const BlockShape& shape, size_t from, size_t to, const BlockObjects& objects, uint64_t* local);

}  // namespace stator
