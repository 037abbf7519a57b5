#include "core/block_hash.h"

#include <bit>

#include "core/xxh3.h"

namespace stator {

static_assert(std::endian::native == std::endian::little, "token ids are hashed as little-endian bytes in place");

size_t hashBlocks(const uint32_t* tokens, size_t count, size_t block, uint64_t seed, uint64_t* local,
                  uint64_t* sequence, size_t from) {
  const size_t blocks = count / block;
  uint64_t parent = from == 0 ? 0 : sequence[from - 1];
  for (size_t i = from; i < blocks; i++) {
    local[i] = xxh3(tokens + i * block, block * sizeof(uint32_t), seed);
    const uint64_t link[2] = {parent, local[i]};
    parent = i == 0 ? local[0] : xxh3(link, sizeof link, kChainSeed);
    sequence[i] = parent;
  }
  return blocks;
}

}  // namespace stator
