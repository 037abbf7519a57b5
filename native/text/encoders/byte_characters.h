#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace stator::text {

/// How byte-level vocabularies write bytes: one character for each, printable ones for themselves, the others from
/// U+0100 on in ascending order. All of them lie below U+0144.
class ByteCharacters {
 public:
  ByteCharacters();

  /// Appends the bytes that a text stands for; false, with a part appended, where it holds another character.
  bool decode(std::string_view text, std::string& out) const;
  /// The character of a byte as UTF-8.
  std::string_view operator[](uint8_t byte) const { return {characters_[byte].data(), sizes_[byte]}; }

 private:
  static constexpr size_t kCharacters = 0x144;
  std::array<int16_t, kCharacters> bytes_;
  std::array<std::array<char, 2>, 256> characters_;
  std::array<uint8_t, 256> sizes_;
};

}  // namespace stator::text
