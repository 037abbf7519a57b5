#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/pieces/piece_table.h"

namespace stator::text {

/// A character at the begin of a text.
struct RawCharacter {
  /// Its code point, or kNone where the bytes are not well-formed UTF-8.
  uint32_t point;
  /// Its bytes, as the first of them has it, or all that is left.
  uint32_t size;
};

/// Reads the first character of a text that is not empty.
RawCharacter readCharacter(std::string_view text);

/// The numbers of single characters.
class CharacterTable {
 public:
  CharacterTable() : pages_(kPages, kNone) {}
  /// Takes up the number of a text that is one well-formed character; others are passed over.
  void add(std::string_view text, uint32_t number);
  /// The number of a code point, kNone where it has none or is kNone itself.
  uint32_t operator[](uint32_t point) const {
    if (point >= kPages * kPage) return kNone;
    const uint32_t page = pages_[point / kPage];
    return page == kNone ? kNone : numbers_[page + point % kPage];
  }
  size_t memoryBytes() const { return (pages_.capacity() + numbers_.capacity()) * sizeof(uint32_t); }

 private:
  static constexpr uint32_t kPage = 256;
  static constexpr uint32_t kPages = 0x110000 / kPage;

  /// Where the numbers of 256 code points begin; kNone where none of them has one.
  std::vector<uint32_t> pages_;
  std::vector<uint32_t> numbers_;
};

}  // namespace stator::text
