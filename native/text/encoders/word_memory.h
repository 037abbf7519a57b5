#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "text/pieces/hash.h"

namespace stator::text {

/// A word as it is looked up: its hash, and its bytes where they are few.
struct WordKey {
  uint64_t low, high, hash;
};

/// Remembers the tokens of words in a fixed number of bytes: pairs of places by hash, of which the newer word takes the
/// older one's. Words are compared whole. Words that are too long, or have too many tokens, are not remembered.
class WordMemory {
 public:
  /// The most tokens of a word that is remembered; `recall` writes up to so many.
  static constexpr size_t kMostTokens = 16;

  /// Takes at most `bytes`; too few for a single word remember none.
  explicit WordMemory(size_t bytes);

  /// The key of a word; `end` is where the text ends in which it stands.
  WordKey keyOf(std::string_view word, const char* end) const {
    const size_t size = word.size();
    if (size > kShortBytes) return {0, 0, hashBytes(word, seed_)};
    const bool whole = end - word.data() >= 16;
    uint64_t low = whole ? readEight(word.data()) : readFew(word.data(), std::min<size_t>(size, 8));
    uint64_t high = whole ? readEight(word.data() + 8) : size <= 8 ? 0 : readFew(word.data() + 8, size - 8);
    low &= size >= 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * size)) - 1;
    high &= size <= 8 ? 0 : (uint64_t{1} << (8 * (size - 8))) - 1;
    high |= static_cast<uint64_t>(size) << kSizeShift;
    return {low, high, hashWords(low, high, seed_)};
  }

  /// Calls for the memory of a word that will be recalled soon.
  void expect(const WordKey& key, size_t size) const {
    if (shorts_.empty()) return;
    if (size <= kShortBytes) {
      __builtin_prefetch(&shorts_[placeOf(key.hash, shorts_.size())]);
    } else {
      __builtin_prefetch(&longs_[placeOf(key.hash, longs_.size())]);
    }
  }

  /// Writes the tokens of a word and returns how many; 0 when it is not known.
  size_t recall(const WordKey& key, std::string_view word, uint32_t* tokens) {
    if (shorts_.empty()) return 0;
    if (word.size() > kShortBytes) return recallLong(key, word, tokens);
    const size_t count = recallShort(key, tokens);
    return count == kElsewhere ? recallLong(key, word, tokens) : count;
  }

  /// Remembers the tokens of a word that was not recalled.
  void keep(const WordKey& key, std::string_view word, std::span<const uint32_t> tokens);
  size_t memoryBytes() const { return shorts_.size_bytes() + longs_.size_bytes(); }

 private:
  static constexpr size_t kShortBytes = 15;
  static constexpr size_t kShortTokens = 4;
  static constexpr size_t kLongBytes = 62;
  static constexpr unsigned kSizeShift = 60;
  static constexpr unsigned kCountShift = 56;
  static constexpr uint64_t kCountMask = uint64_t{15} << kCountShift;
  /// Stands for the count of a short word with more tokens than have room beside it: they lie where those of longer
  /// ones do.
  static constexpr uint64_t kElsewhere = 15;

  /// A word of up to 15 bytes: they are the lower ones of two words, above them stand its length and its token count.
  struct Short {
    uint64_t low, high;
    uint32_t tokens[kShortTokens];

    bool is(const WordKey& key) const { return low == key.low && (high & ~kCountMask) == key.high; }
  };
  struct alignas(64) ShortPair {
    Short newer, older;
  };
  struct Long {
    uint8_t size, count;
    char bytes[kLongBytes];
    uint32_t tokens[kMostTokens];

    bool is(std::string_view word) const {
      return size == word.size() && std::memcmp(bytes, word.data(), word.size()) == 0;
    }
  };
  struct alignas(64) LongPair {
    Long newer, older;
  };
  struct Free {
    void operator()(void* at) const { std::free(at); }
  };

  /// A place below `size` by the upper half of a hash.
  static size_t placeOf(uint64_t hash, size_t size) { return static_cast<size_t>((hash >> 32) * size >> 32); }

  size_t recallShort(const WordKey& key, uint32_t* tokens) {
    ShortPair& pair = shorts_[placeOf(key.hash, shorts_.size())];
    if (!pair.newer.is(key)) {
      if (!pair.older.is(key)) return 0;
      std::swap(pair.newer, pair.older);
    }
    std::memcpy(tokens, pair.newer.tokens, sizeof pair.newer.tokens);
    return (pair.newer.high & kCountMask) >> kCountShift;
  }

  size_t recallLong(const WordKey& key, std::string_view word, uint32_t* tokens);

  HashSeed seed_;
  std::unique_ptr<void, Free> memory_;
  std::span<ShortPair> shorts_;
  std::span<LongPair> longs_;
};

}  // namespace stator::text
