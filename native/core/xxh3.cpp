// Written from the published description of XXH3 (64-bit). The length decides the path: 0, 1-3, 4-8, 9-16, 17-128,
// 129-240 bytes are mixed directly; longer input runs through eight 64-bit lanes, 64 bytes (a stripe) at a time.
#include "core/xxh3.h"

#include <cstring>

namespace stator {
namespace {

constexpr size_t kSecretBytes = 192;
constexpr size_t kStripeBytes = 64;
constexpr size_t kLanes = 8;
constexpr size_t kSecretStep = 8;
constexpr size_t kSecretLastLane = 7;
constexpr size_t kSecretMerge = 11;
constexpr size_t kMidLast = 17;
constexpr size_t kSecretMinBytes = 136;
/// Longer input runs through the lanes.
constexpr size_t kMidBytes = 240;

constexpr uint32_t kPrime32a = 0x9E3779B1u;
constexpr uint32_t kPrime32b = 0x85EBCA77u;
constexpr uint32_t kPrime32c = 0xC2B2AE3Du;
constexpr uint64_t kPrime64a = 0x9E3779B185EBCA87u;
constexpr uint64_t kPrime64b = 0xC2B2AE3D27D4EB4Fu;
constexpr uint64_t kPrime64c = 0x165667B19E3779F9u;
constexpr uint64_t kPrime64d = 0x85EBCA77C2B2AE63u;
constexpr uint64_t kPrime64e = 0x27D4EB2F165667C5u;
constexpr uint64_t kPrimeMixA = 0x165667919E3779F9u;
constexpr uint64_t kPrimeMixB = 0x9FB21C651E98DF25u;

alignas(64) constexpr uint8_t kSecret[kSecretBytes] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
};

uint32_t read32(const uint8_t* at) {
  uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

uint64_t read64(const uint8_t* at) {
  uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

void write64(uint8_t* at, uint64_t value) { std::memcpy(at, &value, sizeof value); }

uint32_t swap32(uint32_t value) { return __builtin_bswap32(value); }
uint64_t swap64(uint64_t value) { return __builtin_bswap64(value); }
uint64_t rotate(uint64_t value, int bits) { return (value << bits) | (value >> (64 - bits)); }

uint64_t foldedMultiply(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t avalanche(uint64_t hash) {
  hash ^= hash >> 37;
  hash *= kPrimeMixA;
  return hash ^ (hash >> 32);
}

uint64_t avalancheXxh64(uint64_t hash) {
  hash ^= hash >> 33;
  hash *= kPrime64b;
  hash ^= hash >> 29;
  hash *= kPrime64c;
  return hash ^ (hash >> 32);
}

uint64_t hashUpTo3(const uint8_t* data, size_t size, uint64_t seed) {
  const uint32_t first = data[0];
  const uint32_t middle = data[size >> 1];
  const uint32_t last = data[size - 1];
  const uint32_t combined = (first << 16) | (middle << 24) | last | (static_cast<uint32_t>(size) << 8);
  const uint64_t flip = (read32(kSecret) ^ read32(kSecret + 4)) + seed;
  return avalancheXxh64(combined ^ flip);
}

uint64_t hash4To8(const uint8_t* data, size_t size, uint64_t seed) {
  seed ^= static_cast<uint64_t>(swap32(static_cast<uint32_t>(seed))) << 32;
  const uint64_t low = read32(data);
  const uint64_t high = read32(data + size - 4);
  const uint64_t flip = (read64(kSecret + 8) ^ read64(kSecret + 16)) - seed;
  uint64_t hash = (high + (low << 32)) ^ flip;
  hash ^= rotate(hash, 49) ^ rotate(hash, 24);
  hash *= kPrimeMixB;
  hash ^= (hash >> 35) + size;
  hash *= kPrimeMixB;
  return hash ^ (hash >> 28);
}

uint64_t hash9To16(const uint8_t* data, size_t size, uint64_t seed) {
  const uint64_t flipLow = (read64(kSecret + 24) ^ read64(kSecret + 32)) + seed;
  const uint64_t flipHigh = (read64(kSecret + 40) ^ read64(kSecret + 48)) - seed;
  const uint64_t low = read64(data) ^ flipLow;
  const uint64_t high = read64(data + size - 8) ^ flipHigh;
  return avalanche(size + swap64(low) + high + foldedMultiply(low, high));
}

uint64_t mix16(const uint8_t* data, const uint8_t* secret, uint64_t seed) {
  return foldedMultiply(read64(data) ^ (read64(secret) + seed), read64(data + 8) ^ (read64(secret + 8) - seed));
}

uint64_t hash17To128(const uint8_t* data, size_t size, uint64_t seed) {
  uint64_t sum = size * kPrime64a;
  for (size_t i = (size - 1) / 32 + 1; i-- > 0;) {
    sum += mix16(data + 16 * i, kSecret + 32 * i, seed);
    sum += mix16(data + size - 16 * (i + 1), kSecret + 32 * i + 16, seed);
  }
  return avalanche(sum);
}

uint64_t hash129To240(const uint8_t* data, size_t size, uint64_t seed) {
  uint64_t sum = size * kPrime64a;
  const size_t rounds = size / 16;
  for (size_t i = 0; i < 8; i++) sum += mix16(data + 16 * i, kSecret + 16 * i, seed);
  sum = avalanche(sum);
  for (size_t i = 8; i < rounds; i++) sum += mix16(data + 16 * i, kSecret + 16 * (i - 8) + 3, seed);
  sum += mix16(data + size - 16, kSecret + kSecretMinBytes - kMidLast, seed);
  return avalanche(sum);
}

inline void accumulate(uint64_t* lanes, const uint8_t* data, const uint8_t* secret) {
  for (size_t i = 0; i < kLanes; i++) {
    const uint64_t value = read64(data + 8 * i);
    const uint64_t key = value ^ read64(secret + 8 * i);
    lanes[i ^ 1] += value;
    lanes[i] += (key & 0xFFFFFFFFu) * (key >> 32);
  }
}

inline void scramble(uint64_t* lanes, const uint8_t* secret) {
  for (size_t i = 0; i < kLanes; i++) {
    uint64_t lane = lanes[i];
    lane ^= lane >> 47;
    lane ^= read64(secret + 8 * i);
    lanes[i] = lane * kPrime32a;
  }
}

uint64_t mergeLanes(const uint64_t* lanes, const uint8_t* secret, uint64_t start) {
  uint64_t sum = start;
  for (size_t i = 0; i < 4; i++) {
    sum += foldedMultiply(lanes[2 * i] ^ read64(secret + 16 * i), lanes[2 * i + 1] ^ read64(secret + 16 * i + 8));
  }
  return avalanche(sum);
}

constexpr size_t kStripesPerPiece = (kSecretBytes - kStripeBytes) / kSecretStep;
static_assert(kStripesPerPiece * kStripeBytes == Xxh3Progress::kPieceBytes);

/// Whole pieces, with the lanes where the compiler can keep them in registers.
void hashPieces(uint64_t* into, const uint8_t* data, const uint8_t* secret, size_t pieces) {
  alignas(64) uint64_t lanes[kLanes];
  std::memcpy(lanes, into, sizeof lanes);
  for (size_t piece = 0; piece < pieces; piece++) {
    const uint8_t* at = data + piece * Xxh3Progress::kPieceBytes;
    for (size_t i = 0; i < kStripesPerPiece; i++) accumulate(lanes, at + i * kStripeBytes, secret + i * kSecretStep);
    scramble(lanes, secret + kSecretBytes - kStripeBytes);
  }
  std::memcpy(into, lanes, sizeof lanes);
}

uint64_t hashLong(const uint8_t* data, size_t size, uint64_t seed) {
  Xxh3Progress progress;
  progress.begin(data, size, seed);
  return progress.finish();
}

}  // namespace

uint64_t xxh3(const void* data, size_t size, uint64_t seed) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  if (size > kMidBytes) return hashLong(bytes, size, seed);
  if (size > 128) return hash129To240(bytes, size, seed);
  if (size > 16) return hash17To128(bytes, size, seed);
  if (size > 8) return hash9To16(bytes, size, seed);
  if (size >= 4) return hash4To8(bytes, size, seed);
  if (size > 0) return hashUpTo3(bytes, size, seed);
  return avalancheXxh64(seed ^ read64(kSecret + 56) ^ read64(kSecret + 64));
}

void Xxh3Progress::begin(const void* data, size_t size, uint64_t seed) {
  constexpr uint64_t start[kLanes] = {kPrime32c, kPrime64a, kPrime64b, kPrime64c,
                                      kPrime64d, kPrime32b, kPrime64e, kPrime32a};
  data_ = static_cast<const uint8_t*>(data);
  size_ = size;
  seed_ = seed;
  pieces_ = 0;
  std::memcpy(lanes_, start, sizeof lanes_);
  for (size_t i = 0; i < kSecretBytes; i += 16) {
    write64(secret_ + i, read64(kSecret + i) + seed);
    write64(secret_ + i + 8, read64(kSecret + i + 8) - seed);
  }
}

void Xxh3Progress::advance(size_t ready) {
  if (size_ <= kMidBytes) return;
  // The last piece is never mixed as a whole, also when it is full.
  const size_t least = ready / kPieceBytes;
  const size_t most = (size_ - 1) / kPieceBytes;
  const size_t whole = least < most ? least : most;
  if (whole <= pieces_) return;
  hashPieces(lanes_, data_ + pieces_ * kPieceBytes, secret_, whole - pieces_);
  pieces_ = whole;
}

uint64_t Xxh3Progress::finish() {
  if (size_ <= kMidBytes) return xxh3(data_, size_, seed_);
  advance(size_);
  const size_t done = pieces_ * kPieceBytes;
  const size_t stripes = (size_ - 1 - done) / kStripeBytes;
  for (size_t i = 0; i < stripes; i++) accumulate(lanes_, data_ + done + i * kStripeBytes, secret_ + i * kSecretStep);
  accumulate(lanes_, data_ + size_ - kStripeBytes, secret_ + kSecretBytes - kStripeBytes - kSecretLastLane);
  return mergeLanes(lanes_, secret_ + kSecretMerge, size_ * kPrime64a);
}

}  // namespace stator
