#pragma once
#include <cstddef>
#include <cstdint>

namespace stator {

/// XXH3-64 of `size` bytes with a seed: the published algorithm with its default secret, all lengths.
uint64_t xxh3(const void* data, size_t size, uint64_t seed);

}  // namespace stator
