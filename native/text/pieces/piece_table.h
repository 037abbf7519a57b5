#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/pieces/hash.h"

namespace stator::text {

/// No symbol, no token.
inline constexpr uint32_t kNone = UINT32_MAX;

/// Numbers texts: the first is 0, an equal text has the same number. Texts are copied.
class PieceTable {
 public:
  /// Room for about `texts` of them without growing.
  explicit PieceTable(size_t texts);

  /// The number of a text, or kNone.
  uint32_t find(std::string_view text) const;
  /// The number of a text, a new one if it has none yet.
  uint32_t add(std::string_view text);
  /// Uses up a number that no text has.
  void skip() { ends_.push_back(static_cast<uint32_t>(texts_.size())); }
  /// Texts and skipped numbers.
  size_t size() const { return ends_.size() - 1; }
  /// The text of a number; empty where it was skipped.
  std::string_view operator[](uint32_t number) const {
    return std::string_view(texts_).substr(ends_[number], ends_[number + 1] - ends_[number]);
  }
  size_t memoryBytes() const;

 private:
  struct Slot {
    uint32_t tag = 0;
    uint32_t number = kNone;
  };

  size_t placeOf(uint64_t hash) const { return hash >> shift_; }
  uint32_t find(std::string_view text, uint64_t hash) const;
  void resize(size_t slots);
  void place(uint64_t hash, uint32_t number);

  HashSeed seed_;
  std::vector<Slot> slots_;
  unsigned shift_ = 0;
  size_t used_ = 0;
  /// All texts in a row; number i lies in it from ends_[i] to ends_[i + 1].
  std::string texts_;
  std::vector<uint32_t> ends_;
};

}  // namespace stator::text
