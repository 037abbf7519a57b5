#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/special.h"

namespace stator::text {

/// Turns UTF-16 into UTF-8, and places in the one into places in the other, in memory that is kept from text to text.
class Transcoder {
 public:
  /// Room for so many units, to be written by the caller before `utf8`.
  char16_t* units(size_t count);
  /// The first `count` units as UTF-8, a lone surrogate as U+FFFD; valid until the next call. `places`, ascending units,
  /// become bytes: one inside a character is behind it, one behind the end is the end.
  std::string_view utf8(size_t count, const uint32_t* places, size_t placeCount, Content& content);
  /// Gives back memory of texts that were much longer than most.
  void trim();

 private:
  std::vector<char16_t> units_;
  std::vector<char> bytes_;
};

/// UTF-16 units of a UTF-8 text.
size_t countUnits(std::string_view text);

/// Makes places in UTF-16 units, ascending, places in bytes of a UTF-8 text, as `Transcoder::utf8` does.
Content bytePlaces(std::string_view text, const uint32_t* units, size_t count);

}  // namespace stator::text
