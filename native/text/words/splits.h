#pragma once
#include <cstddef>
#include <string_view>

#include "text/words/sets.h"

/// Where rules of words certainly cut, whatever follows: `WordRule::maySplit`. A rule reads from left to right and
/// keeps nothing between its words, so it is enough that a word surely ends at a place, and that no word before it
/// would end elsewhere if the text ended there.
namespace stator::text::words {

/// The characters before and behind a place in a text.
struct Place {
  uint8_t before;      ///< class of the one before
  uint8_t lastByte;    ///< its last byte
  uint32_t after;      ///< code point of the one behind
  uint8_t afterClass;  ///< its class
};

/// False where the place is within a character.
inline bool lookAt(std::string_view text, size_t at, Place& out) {
  const auto continues = [&](size_t which) { return (static_cast<uint8_t>(text[which]) & 0xC0) == 0x80; };
  if (continues(at)) return false;
  size_t from = at - 1;
  while (from > 0 && at - from < 4 && continues(from)) from--;
  const auto before = decode(text, from);
  out.before = classOf(from + before.size == at ? before.codePoint : kReplacement);
  out.lastByte = static_cast<uint8_t>(text[at - 1]);
  out.after = decode(text, at).codePoint;
  out.afterClass = classOf(out.after);
  return true;
}

inline bool isAscii(uint32_t codePoint) { return codePoint < 0x80; }
inline bool isSign(const Place& place) { return (place.afterClass & (kPunctuation | kSymbol)) != 0; }

/// Words have white space in front at most, and letters end before a sign.
inline bool splitGpt2(std::string_view text, size_t at) {
  Place place;
  if (!lookAt(text, at, place) || place.before == kSpace) return false;
  return place.afterClass == kSpace || (place.before == kLetter && isSign(place));
}

struct SplitShape {
  bool endings = false;  ///< an apostrophe may belong to the letters before it
  bool slashes = false;  ///< a slash may belong to the line end before it
  bool lines = true;     ///< white space ends behind its last line end
};

/// Words have white space in front at most, and line ends behind; letters end before a sign, unless an earlier stage
/// has taken both for one run.
template <SplitShape kShape = SplitShape{}, class Runs = Of<0>>
bool splitModern(std::string_view text, size_t at) {
  Place place;
  if (!lookAt(text, at, place)) return false;
  if (place.before == kSpace) {
    if (!kShape.lines || place.lastByte != '\n') return false;
    return place.afterClass != kSpace && !(kShape.slashes && place.after == '/');
  }
  if (place.after == ' ' || place.after == '\t') return true;
  if (place.before != kLetter || !isSign(place) || Runs::has(place.after, place.afterClass)) return false;
  return !(kShape.endings && place.after == '\'');
}

/// As above, but a space may stand between two words that are one.
inline bool splitExaoneMoe(std::string_view text, size_t at) {
  Place place;
  if (!lookAt(text, at, place)) return false;
  if (place.after == ' ') return (place.before & (kPunctuation | kSymbol | kNumber)) != 0;
  return splitModern<>(text, at);
}

/// A line end is a word of its own, and ASCII letters end before white space.
inline bool splitDeepseek(std::string_view text, size_t at) {
  Place place;
  if (!lookAt(text, at, place)) return false;
  if (place.lastByte == '\n' || place.after == '\n') return true;
  return place.before == kLetter && isAscii(place.lastByte) && isAscii(place.after) && place.afterClass == kSpace;
}

/// ASCII letters and digits end before white space.
inline bool splitBloom(std::string_view text, size_t at) {
  Place place;
  if (!lookAt(text, at, place)) return false;
  return (place.before & (kLetter | kNumber)) != 0 && isAscii(place.lastByte) && place.afterClass == kSpace;
}

/// Only numbers are apart from anything.
inline bool splitSuperBpe(std::string_view text, size_t at) {
  Place place;
  return lookAt(text, at, place) && (place.before == kNumber) != (place.afterClass == kNumber);
}

}  // namespace stator::text::words
