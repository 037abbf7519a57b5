#include "text/pieces/character_table.h"

#include <algorithm>

namespace stator::text {
namespace {

constexpr uint8_t kSizes[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4};
/// The lowest code point that is written in so many bytes.
constexpr uint32_t kLowest[] = {0, 0, 0x80, 0x800, 0x10000};
constexpr uint32_t kHighest = 0x10FFFF;

bool isSurrogate(uint32_t point) { return point >= 0xD800 && point < 0xE000; }

}  // namespace

RawCharacter readCharacter(std::string_view text) {
  const auto first = static_cast<uint8_t>(text[0]);
  if (first < 0x80) return {first, 1};
  const uint32_t size = kSizes[first >> 4];
  if (size > text.size()) return {kNone, static_cast<uint32_t>(text.size())};
  if (size == 1) return {kNone, 1};
  uint32_t point = first & (0x7Fu >> size);
  for (uint32_t i = 1; i < size; i++) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if ((byte & 0xC0) != 0x80) return {kNone, size};
    point = point << 6 | (byte & 0x3F);
  }
  const bool wellFormed = point >= kLowest[size] && point <= kHighest && !isSurrogate(point) && first < 0xF8;
  return {wellFormed ? point : kNone, size};
}

void CharacterTable::add(std::string_view text, uint32_t number) {
  if (text.empty() || text.size() > 4) return;
  const auto [point, size] = readCharacter(text);
  if (point == kNone || size != text.size()) return;
  uint32_t& page = pages_[point / kPage];
  if (page == kNone) {
    page = static_cast<uint32_t>(numbers_.size());
    numbers_.resize(numbers_.size() + kPage, kNone);
  }
  numbers_[page + point % kPage] = number;
}

}  // namespace stator::text
