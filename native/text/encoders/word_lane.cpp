#include "text/encoders/word_lane.h"

#include <algorithm>

namespace stator::text {
namespace {

constexpr size_t kBlock = 1 << 14;
/// Words looked up together: while one is read, the memory of the next ones is on its way.
constexpr size_t kTogether = 32;

bool beginsCharacter(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) != 0x80; }

}  // namespace

void WordLane::encode(std::string_view text, bool, std::vector<uint32_t>& out) {
  const char* end = text.data() + text.size();
  while (!text.empty()) {
    const size_t size = blockOf(text);
    encodeBlock(text.substr(0, size), end, out);
    text.remove_prefix(size);
  }
  if (ends_.capacity() > 2 * kBlock) std::vector<uint32_t>().swap(ends_);
  trim();
}

/// The size of the next block: it ends at the first place from kBlock on where the text may be split.
size_t WordLane::blockOf(std::string_view text) const {
  for (size_t at = kBlock; at < text.size(); at++) {
    if (beginsCharacter(text[at]) && maySplit(text, at)) return at;
  }
  return text.size();
}

void WordLane::encodeBlock(std::string_view block, const char* end, std::vector<uint32_t>& out) {
  ends_.clear();
  cut(block, ends_);
  std::string_view words[kTogether];
  size_t begin = 0;
  for (size_t first = 0; first < ends_.size(); first += kTogether) {
    const size_t count = std::min(kTogether, ends_.size() - first);
    for (size_t i = 0; i < count; i++) {
      words[i] = block.substr(begin, ends_[first + i] - begin);
      begin = ends_[first + i];
    }
    encodeWords({words, count}, end, out);
  }
}

void WordLane::encodeWords(std::span<const std::string_view> words, const char* end, std::vector<uint32_t>& out) {
  WordKey keys[kTogether];
  for (size_t i = 0; i < words.size(); i++) {
    keys[i] = memory_.keyOf(words[i], end);
    memory_.expect(keys[i], words[i].size());
  }
  uint32_t known[kTogether * WordMemory::kMostTokens];
  size_t size = 0;
  for (size_t i = 0; i < words.size(); i++) {
    const size_t recalled = memory_.recall(keys[i], words[i], known + size);
    size += recalled;
    if (recalled > 0) continue;
    out.insert(out.end(), known, known + size);
    size = out.size();
    encodeWord(words[i], out);
    memory_.keep(keys[i], words[i], std::span(out).subspan(size));
    size = 0;
  }
  out.insert(out.end(), known, known + size);
}

size_t WordLane::memoryBytes() const { return memory_.memoryBytes() + ends_.capacity() * sizeof(uint32_t); }

}  // namespace stator::text
