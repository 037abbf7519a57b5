#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "check.h"
#include "text/plain.h"

/// What holds for every encoder of plain text, for tests.
namespace stator::test {

using Tokens = std::vector<uint32_t>;

/// The tokens of a text, by a lane of its own.
inline Tokens encode(const text::PlainEncoder& encoder, const std::string& text, bool fresh = true,
                     size_t memoryBytes = 1 << 16) {
  Tokens out;
  encoder.lane(memoryBytes)->encode(text, fresh, out);
  return out;
}

/// Checks every place of a text that the encoder would split at, and answers how many there are.
inline size_t checkSplits(const text::PlainEncoder& encoder, const std::string& text) {
  size_t splits = 0;
  for (size_t at = 1; at < text.size(); at++) {
    if ((text[at] & 0xC0) == 0x80 || !encoder.maySplit(text, at)) continue;
    splits++;
    Tokens parts = encode(encoder, text.substr(0, at));
    encoder.lane(0)->encode(text.substr(at), false, parts);
    CHECK(parts == encode(encoder, text));
  }
  return splits;
}

/// Any bytes, many of them the same letter.
inline std::string randomBytes(Rng& rng, size_t size) {
  std::string bytes(size, ' ');
  for (char& byte : bytes) byte = static_cast<char>(rng.below(3) == 0 ? 'a' : rng.below(256));
  return bytes;
}

/// Checks that a text of any bytes becomes tokens below `end`, and may be asked about at any place.
inline void checkReads(const text::PlainEncoder& encoder, const std::string& text, size_t end) {
  for (const uint32_t token : encode(encoder, text)) CHECK(token < end);
  for (size_t at = 1; at < text.size(); at++) encoder.maySplit(text, at);
}

}  // namespace stator::test
