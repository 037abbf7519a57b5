#include "text/encoders/byte_characters.h"

namespace stator::text {
namespace {

bool isPrintable(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

}  // namespace

ByteCharacters::ByteCharacters() {
  bytes_.fill(-1);
  int others = 0x100;
  for (int byte = 0; byte < 256; byte++) {
    const int character = isPrintable(byte) ? byte : others++;
    bytes_[character] = static_cast<int16_t>(byte);
    if (character < 0x80) {
      characters_[byte] = {static_cast<char>(character), 0};
    } else {
      characters_[byte] = {static_cast<char>(0xC0 | character >> 6), static_cast<char>(0x80 | (character & 0x3F))};
    }
    sizes_[byte] = character < 0x80 ? 1 : 2;
  }
}

bool ByteCharacters::decode(std::string_view text, std::string& out) const {
  for (size_t at = 0; at < text.size(); at++) {
    unsigned character = static_cast<uint8_t>(text[at]);
    if (character >= 0x80) {
      if (character < 0xC2 || character > 0xC5 || ++at == text.size()) return false;
      const auto second = static_cast<uint8_t>(text[at]);
      if ((second & 0xC0) != 0x80) return false;
      character = (character & 0x1F) << 6 | (second & 0x3F);
    }
    if (character >= kCharacters || bytes_[character] < 0) return false;
    out.push_back(static_cast<char>(bytes_[character]));
  }
  return true;
}

}  // namespace stator::text
