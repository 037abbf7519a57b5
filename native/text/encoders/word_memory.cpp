#include "text/encoders/word_memory.h"

#include <new>

namespace stator::text {
namespace {

constexpr size_t kLine = 64;
/// The part of the bytes that longer words get: one in four.
constexpr size_t kLongPart = 4;

}  // namespace

WordMemory::WordMemory(size_t bytes) : seed_(HashSeed::draw()) {
  const size_t longs = bytes / kLongPart / sizeof(LongPair);
  const size_t shorts = (bytes - longs * sizeof(LongPair)) / sizeof(ShortPair);
  if (longs == 0) return;
  // Zeros, and memory that no word has touched yet costs the machine nothing.
  memory_.reset(std::calloc((shorts * sizeof(ShortPair) + longs * sizeof(LongPair)) / kLine + 1, kLine));
  if (!memory_) throw std::bad_alloc();
  void* first = memory_.get();
  first = reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(first) + kLine - 1) / kLine * kLine);
  shorts_ = {static_cast<ShortPair*>(first), shorts};
  longs_ = {reinterpret_cast<LongPair*>(shorts_.data() + shorts), longs};
}

size_t WordMemory::recallLong(const WordKey& key, std::string_view word, uint32_t* tokens) {
  LongPair& pair = longs_[placeOf(key.hash, longs_.size())];
  if (!pair.newer.is(word)) {
    if (!pair.older.is(word)) return 0;
    std::swap(pair.newer, pair.older);
  }
  std::memcpy(tokens, pair.newer.tokens, sizeof pair.newer.tokens);
  return pair.newer.count;
}

void WordMemory::keep(const WordKey& key, std::string_view word, std::span<const uint32_t> tokens) {
  if (shorts_.empty() || word.size() > kLongBytes || tokens.empty() || tokens.size() > kMostTokens) return;
  const bool fits = tokens.size() <= kShortTokens;
  if (word.size() <= kShortBytes) {
    ShortPair& pair = shorts_[placeOf(key.hash, shorts_.size())];
    pair.older = pair.newer;
    pair.newer = {key.low, key.high | (fits ? tokens.size() : kElsewhere) << kCountShift, {}};
    if (fits) std::copy(tokens.begin(), tokens.end(), pair.newer.tokens);
    if (fits) return;
  }
  LongPair& pair = longs_[placeOf(key.hash, longs_.size())];
  pair.older = pair.newer;
  pair.newer = {static_cast<uint8_t>(word.size()), static_cast<uint8_t>(tokens.size()), {}, {}};
  std::memcpy(pair.newer.bytes, word.data(), word.size());
  std::copy(tokens.begin(), tokens.end(), pair.newer.tokens);
}

}  // namespace stator::text
