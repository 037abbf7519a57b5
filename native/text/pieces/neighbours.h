#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/pieces/character_table.h"
#include "text/pieces/hash.h"

namespace stator::text {

/// Which characters stand side by side in a piece of a vocabulary. Between two that never do, no token holds both:
/// there a text may be cut, whatever merges or scores say.
class Neighbours {
 public:
  Neighbours();
  /// Notes the characters of a piece.
  void add(std::string_view piece);

  /// Whether some piece holds `right` just behind `left`.
  bool together(uint32_t left, uint32_t right) const {
    if (left < 128 && right < 128) return (narrow_[left * 2 + right / 64] >> (right % 64) & 1) != 0;
    return togetherWide(left, right);
  }

  /// Appends the places where a text may be cut, and its end.
  void cut(std::string_view text, std::vector<uint32_t>& ends) const;

  /// Whether a text may be cut at `at`, where characters meet, which is above 0 and below the text's size.
  bool partsAt(std::string_view text, size_t at) const;

  size_t memoryBytes() const { return sizeof *this + wide_.capacity() * sizeof(uint64_t); }

 private:
  bool togetherWide(uint32_t left, uint32_t right) const { return wide_[placeOf(pairOf(left, right))] != 0; }
  static uint64_t pairOf(uint32_t left, uint32_t right) { return static_cast<uint64_t>(left) << 32 | right; }
  size_t placeOf(uint64_t pair) const;
  void grow();

  HashSeed seed_;
  /// Bit `right` of the row `left`, for characters of one byte.
  std::array<uint64_t, 256> narrow_{};
  /// Open addressing, mostly free; 0, which is no pair of wide ones, is a free place.
  std::vector<uint64_t> wide_;
  size_t count_ = 0;
};

}  // namespace stator::text
