#include "text/utf16.h"

#include <algorithm>

namespace stator::text {
namespace {

/// What is looked at together: all of it ASCII, or one by one.
constexpr size_t kBlock = 32;

/// Memory that is kept whatever the texts.
constexpr size_t kKeptUnits = size_t{1} << 20;

bool isHigh(char16_t unit) { return (unit & 0xFC00) == 0xD800; }
bool isLow(char16_t unit) { return (unit & 0xFC00) == 0xDC00; }

/// Writes the character that begins at `at`, which moves behind it.
char* writeCharacter(const char16_t*& at, const char16_t* end, char* out) {
  uint32_t point = *at++;
  if (point < 0x80) {
    *out++ = static_cast<char>(point);
    return out;
  }
  if (point < 0x800) {
    *out++ = static_cast<char>(0xC0 | point >> 6);
    *out++ = static_cast<char>(0x80 | (point & 0x3F));
    return out;
  }
  if (isHigh(static_cast<char16_t>(point)) && at < end && isLow(*at)) {
    point = 0x10000 + ((point - 0xD800) << 10) + (*at++ - 0xDC00u);
    *out++ = static_cast<char>(0xF0 | point >> 18);
    *out++ = static_cast<char>(0x80 | (point >> 12 & 0x3F));
  } else {
    if (point >= 0xD800 && point < 0xE000) point = 0xFFFD;
    *out++ = static_cast<char>(0xE0 | point >> 12);
  }
  *out++ = static_cast<char>(0x80 | (point >> 6 & 0x3F));
  *out++ = static_cast<char>(0x80 | (point & 0x3F));
  return out;
}

/// Copies a block if all of it is ASCII. The two do not overlap, so the compiler takes many units at once.
bool copyAscii(const char16_t* __restrict from, char* __restrict out) {
  char16_t all = 0;
  for (size_t each = 0; each < kBlock; each++) all |= from[each];
  if (all >= 0x80) return false;
  for (size_t each = 0; each < kBlock; each++) out[each] = static_cast<char>(from[each]);
  return true;
}

/// Writes units up to `stop`, and the character in whose middle it lies; `end` is where the text ends.
char* write(const char16_t*& at, const char16_t* stop, const char16_t* end, char* out) {
  while (at < stop) {
    while (static_cast<size_t>(stop - at) >= kBlock && copyAscii(at, out)) {
      at += kBlock;
      out += kBlock;
    }
    // One by one to behind the character that stopped the blocks.
    for (bool isAscii = true; isAscii && at < stop;) {
      isAscii = *at < 0x80;
      out = writeCharacter(at, end, out);
    }
  }
  return out;
}

bool continuesCharacter(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

size_t unitsOf(char byte) { return continuesCharacter(byte) ? 0 : static_cast<uint8_t>(byte) >= 0xF0 ? 2 : 1; }

/// Units of a block of bytes. Summed up as a byte, so that the compiler takes many at once.
size_t unitsOfBlock(const char* bytes) {
  uint8_t sum = 0;
  for (size_t byte = 0; byte < kBlock; byte++) {
    const auto value = static_cast<uint8_t>(bytes[byte]);
    sum = static_cast<uint8_t>(sum + ((value & 0xC0) != 0x80) + (value >= 0xF0));
  }
  return sum;
}

}  // namespace

char16_t* Transcoder::units(size_t count) {
  // Never made shorter here: what is made longer is filled with zeros.
  if (units_.size() < count) units_.resize(count);
  return units_.data();
}

std::string_view Transcoder::utf8(size_t count, const uint32_t* places, size_t placeCount, Content& content) {
  if (bytes_.size() < count * 3 + kBlock) bytes_.resize(count * 3 + kBlock);
  const char16_t* at = units_.data();
  const char16_t* const end = at + count;
  char* out = bytes_.data();
  content.reserve(placeCount);
  for (size_t each = 0; each < placeCount; each++) {
    out = write(at, units_.data() + std::min<size_t>(places[each], count), end, out);
    content.push_back(static_cast<uint32_t>(out - bytes_.data()));
  }
  out = write(at, end, end, out);
  return {bytes_.data(), static_cast<size_t>(out - bytes_.data())};
}

void Transcoder::trim() {
  if (units_.size() <= kKeptUnits) return;
  units_ = {};
  bytes_ = {};
}

size_t countUnits(std::string_view text) {
  size_t units = 0;
  size_t at = 0;
  for (; at + kBlock <= text.size(); at += kBlock) units += unitsOfBlock(text.data() + at);
  for (; at < text.size(); at++) units += unitsOf(text[at]);
  return units;
}

Content bytePlaces(std::string_view text, const uint32_t* units, size_t count) {
  Content places;
  places.reserve(count);
  size_t at = 0;
  size_t unit = 0;
  for (size_t each = 0; each < count; each++) {
    // At most one unit a byte: such a block ends before the place.
    while (at + kBlock <= text.size() && unit + kBlock < units[each]) {
      unit += unitsOfBlock(text.data() + at);
      at += kBlock;
    }
    while (at < text.size() && (unit < units[each] || continuesCharacter(text[at]))) unit += unitsOf(text[at++]);
    places.push_back(static_cast<uint32_t>(at));
  }
  return places;
}

}  // namespace stator::text
