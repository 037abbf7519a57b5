#pragma once
#include <iterator>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "text/words/unicode_tables.h"

namespace stator::text {

/// The classes of characters by Unicode's general category; every character has exactly one, and white space (the
/// property White_Space, to which all separators belong) is only that.
enum CharacterClass : uint8_t {
  kLetter = 1,
  kNumber = 2,
  kMark = 4,
  kPunctuation = 8,
  kSymbol = 16,
  kControl = 32,  ///< controls, formats, private use, surrogates
  kUnassigned = 64,
  kSpace = 128,
};

/// One character of a text: its code point, and its size in bytes.
struct Character {
  uint32_t codePoint;
  uint32_t size;
};

/// What stands for a byte that is no part of well-formed UTF-8.
inline constexpr uint32_t kReplacement = 0xFFFD;

/// The character that begins at `at`, which is before `end`, by the bytes before `end` alone. A byte that begins no
/// well-formed one is U+FFFD of size 1, so any bytes are read, and every byte below 0x80 is a character of its own.
Character decodeBeyondAscii(const uint8_t* at, const uint8_t* end);
inline Character decode(const uint8_t* at, const uint8_t* end) {
  return *at < 0x80 ? Character{*at, 1} : decodeBeyondAscii(at, end);
}

/// The same for a string; `at` is below its size.
inline Character decode(std::string_view text, size_t at) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  return decode(bytes + at, bytes + text.size());
}

/// The class of a code point; kUnassigned for what is above U+10FFFF.
constexpr uint8_t classOf(uint32_t codePoint) {
  if (codePoint >= std::size(tables::kBlockOf) * tables::kBlock) return kUnassigned;
  const auto block = tables::kBlockOf[codePoint / tables::kBlock];
  return static_cast<uint8_t>(1 << (tables::kClasses[block][codePoint % tables::kBlock] - '0'));
}

/// The simple lowercase of a code point; itself where it has none.
uint32_t lowercaseOf(uint32_t codePoint);

/// The code point that a canonical decomposition (NFD) begins with; itself where there is none.
uint32_t decompositionStart(uint32_t codePoint);

}  // namespace stator::text
