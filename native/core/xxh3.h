#pragma once
#include <cstddef>
#include <cstdint>

namespace stator {

/// XXH3-64 of `size` bytes with a seed: the published algorithm with its default secret, all lengths.
uint64_t xxh3(const void* data, size_t size, uint64_t seed);

/// Seed of the checksum that goes along with the bytes of a KV block: "STKV", little endian.
constexpr uint64_t kChecksumSeed = 0x564b5453;
/// XXH3-64 of bytes that come into their place one after the other: each is hashed while it is in the cache.
class Xxh3Progress {
 public:
  /// Bytes are hashed in pieces of so many.
  static constexpr size_t kPieceBytes = 1024;

  /// Of `size` bytes at `data`, which stay there until the end.
  void begin(const void* data, size_t size, uint64_t seed);
  /// The first `ready` bytes are in place and stay as they are. Never fewer than before.
  void advance(size_t ready);
  /// All are in place.
  uint64_t finish();

 private:
  static constexpr size_t kSecretBytes = 192;
  alignas(64) uint64_t lanes_[8];
  alignas(64) uint8_t secret_[kSecretBytes];
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  uint64_t seed_ = 0;
  size_t pieces_ = 0;
};

}  // namespace stator
