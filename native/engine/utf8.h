#pragma once
#include <cstdint>
#include <string_view>

namespace stator {

/// Where text stands that comes byte by byte.
enum class Utf8 : uint8_t {
  start,      ///< at the end of a character, or at the beginning of the text
  oneMore,    ///< one byte of 0x80 to 0xBF completes the character
  twoMore,    ///< two such bytes do
  threeMore,  ///< three such bytes do
  afterE0,    ///< no character of two bytes comes in three
  afterEd,    ///< no half of a surrogate pair
  afterF0,    ///< no character of three bytes comes in four
  afterF4,    ///< nothing above U+10FFFF
  broken,     ///< it is no UTF-8, whatever comes
};

/// Where text stands after these bytes.
Utf8 utf8After(Utf8 state, std::string_view bytes);

/// States of a text, a bit each; `broken` is in no set.
using Utf8States = uint8_t;

/// A set of one state.
constexpr Utf8States only(Utf8 state) { return static_cast<Utf8States>(1u << static_cast<unsigned>(state)); }

/// The states after which these bytes leave a text well-formed, or such that more bytes make it so.
Utf8States statesBefore(std::string_view bytes);

}  // namespace stator
