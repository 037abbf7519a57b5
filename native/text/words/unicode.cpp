#include "text/words/unicode.h"

#include <algorithm>
#include <iterator>

namespace stator::text {
namespace {

constexpr uint32_t kHangulFirst = 0xAC00;
constexpr uint32_t kHangulLast = 0xD7A3;
constexpr uint32_t kHangulLead = 0x1100;
constexpr uint32_t kHangulPerLead = 588;

/// The row of a sorted table whose range holds a code point, or null.
template <typename Row, size_t kSize>
const Row* rowOf(const Row (&table)[kSize], uint32_t codePoint) {
  const auto* row = std::lower_bound(std::begin(table), std::end(table), codePoint,
                                     [](const Row& each, uint32_t wanted) { return each.last < wanted; });
  return row != std::end(table) && row->first <= codePoint ? row : nullptr;
}

bool continues(uint8_t byte) { return (byte & 0xC0) == 0x80; }

/// Whether the second byte of a sequence is in the range that its first byte leaves: no overlong form, no surrogate,
/// nothing above U+10FFFF.
bool secondFits(uint8_t first, uint8_t second) {
  if (first == 0xE0) return second >= 0xA0;
  if (first == 0xED) return second < 0xA0;
  if (first == 0xF0) return second >= 0x90;
  if (first == 0xF4) return second < 0x90;
  return true;
}

uint32_t sizeBy(uint8_t first) {
  if (first < 0xC2 || first > 0xF4) return 1;
  return first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

}  // namespace

Character decodeBeyondAscii(const uint8_t* at, const uint8_t* end) {
  constexpr Character bad{kReplacement, 1};
  const uint32_t size = sizeBy(at[0]);
  if (size == 1 || static_cast<size_t>(end - at) < size) return bad;
  if (!continues(at[1]) || !secondFits(at[0], at[1])) return bad;
  uint32_t codePoint = (at[0] & (0x7Fu >> size)) << 6 | (at[1] & 0x3Fu);
  for (uint32_t i = 2; i < size; i++) {
    if (!continues(at[i])) return bad;
    codePoint = codePoint << 6 | (at[i] & 0x3Fu);
  }
  return {codePoint, size};
}

uint32_t lowercaseOf(uint32_t codePoint) {
  if (codePoint < 0x80) return codePoint >= 'A' && codePoint <= 'Z' ? codePoint + 32 : codePoint;
  const auto* row = rowOf(tables::kLowercase, codePoint);
  if (row == nullptr || (codePoint - row->first) % row->step != 0) return codePoint;
  return codePoint + static_cast<uint32_t>(row->difference);
}

uint32_t decompositionStart(uint32_t codePoint) {
  if (codePoint < 0xC0) return codePoint;
  if (codePoint >= kHangulFirst && codePoint <= kHangulLast) {
    return kHangulLead + (codePoint - kHangulFirst) / kHangulPerLead;
  }
  const auto* row = rowOf(tables::kDecompositions, codePoint);
  return row == nullptr ? codePoint : row->to;
}

}  // namespace stator::text
