#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

namespace stator::text {

/// How a byte-level vocabulary cuts text into words before it merges.
struct WordRule {
  /// Appends the end of every word, in bytes, ascending; the last is the text's own. Words cover the text.
  void (*cut)(std::string_view text, std::vector<uint32_t>& ends);
  /// Whether text[0, at) is cut the same whatever follows, when what follows begins with text[at]; `PlainEncoder::maySplit`.
  bool (*maySplit)(std::string_view text, size_t at);
  /// A word that is a token is one, whatever the merges say.
  bool ignoreMerges;
};

/// The rule of a name in GGUF files (`tokenizer.ggml.pre`; empty is the library's default); null for one not known here.
const WordRule* findWordRule(std::string_view name);

}  // namespace stator::text
