#include "core/block_hash.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "core/xxh3.h"

namespace stator {

static_assert(std::endian::native == std::endian::little, "token ids are hashed as little-endian bytes in place");

size_t hashBlocks(const uint32_t* tokens, size_t count, size_t block, uint64_t seed, uint64_t* local,
                  uint64_t* sequence) {
  const size_t blocks = count / block;
  uint64_t parent = 0;
  for (size_t i = 0; i < blocks; i++) {
    local[i] = xxh3(tokens + i * block, block * sizeof(uint32_t), seed);
    const uint64_t link[2] = {parent, local[i]};
    parent = i == 0 ? local[0] : xxh3(link, sizeof link, kChainSeed);
    sequence[i] = parent;
  }
  return blocks;
}

void hashContents(const BlockShape& shape, size_t from, size_t to, const BlockObjects& objects, uint64_t* local) {
  const size_t size = (shape.block + shape.ahead) * sizeof(uint32_t);
  for (size_t i = from; i < to; i++) local[i] = xxh3(shape.tokens + i * shape.block, size, shape.seed);
  std::vector<uint64_t> hashes;
  std::vector<uint8_t> bytes;
  for (size_t at = 0; at < objects.count;) {
    const size_t block = objects.blocks[at];
    hashes.clear();
    for (; at < objects.count && objects.blocks[at] == block; at++) hashes.push_back(objects.hashes[at]);
    if (block < from || block >= to) continue;
    std::sort(hashes.begin(), hashes.end());
    bytes.resize(size + hashes.size() * sizeof(uint64_t));
    std::memcpy(bytes.data(), shape.tokens + block * shape.block, size);
    std::memcpy(bytes.data() + size, hashes.data(), hashes.size() * sizeof(uint64_t));
    local[block] = xxh3(bytes.data(), bytes.size(), shape.seed);
  }
}

}  // namespace stator
