#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string_view>

namespace stator::text {

/// What makes hashes of foreign keys unforeseeable: drawn anew for every table, so no file can be made to collide in
/// it.
struct HashSeed {
  uint64_t first, second;

  static HashSeed draw() {
    std::random_device source;
    const auto word = [&] { return static_cast<uint64_t>(source()) << 32 | source(); };
    const uint64_t first = word();
    return {first, word() | 1};
  }
};

/// The halves of the product of two words, folded.
inline uint64_t foldProduct(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

/// Hash of two words.
inline uint64_t hashWords(uint64_t a, uint64_t b, const HashSeed& seed) {
  return foldProduct(foldProduct(a ^ seed.first, b ^ seed.second), seed.second);
}

/// The first `size` of at most 8 bytes as a little-endian word, zeros behind.
inline uint64_t readFew(const char* at, size_t size) {
  uint64_t word = 0;
  if (size >= 4) {
    uint32_t head, tail;
    std::memcpy(&head, at, 4);
    std::memcpy(&tail, at + size - 4, 4);
    return head | static_cast<uint64_t>(tail) << (8 * (size - 4));
  }
  for (size_t i = 0; i < size; i++) word |= static_cast<uint64_t>(static_cast<uint8_t>(at[i])) << (8 * i);
  return word;
}

inline uint64_t readEight(const char* at) {
  uint64_t word;
  std::memcpy(&word, at, 8);
  return word;
}

/// Hash of bytes.
inline uint64_t hashBytes(std::string_view bytes, const HashSeed& seed) {
  const char* at = bytes.data();
  size_t left = bytes.size();
  uint64_t state = left;
  for (; left > 16; at += 16, left -= 16) {
    state = foldProduct(readEight(at) ^ seed.first ^ state, readEight(at + 8) ^ seed.second);
  }
  const uint64_t low = left >= 8 ? readEight(at) : readFew(at, left);
  const uint64_t high = left >= 8 ? readFew(at + 8, left - 8) : 0;
  return hashWords(low ^ state, high, seed);
}

}  // namespace stator::text
