#pragma once
#include <cstddef>
#include <cstdint>

namespace stator {

/// XXH3-64 of `size` bytes with a seed: the published algorithm with its default secret, all lengths.
uint64_t xxh3(const void* data, size_t size, uint64_t seed);

/// Seed of the checksum that goes along with the bytes of a KV block: "STKV", little endian.
constexpr uint64_t kChecksumSeed = 0x564b5453;

}  // namespace stator
