#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "text/vocabulary.h"

namespace stator::text {

/// One thread's way through an encoder: its scratch, and the words it remembers.
class Lane {
 public:
  virtual ~Lane() = default;
  /// Appends the tokens of `text`, in which no special token is looked for. `fresh`: the text begins, or stands behind a
  /// special token; else it continues plain text that was cut where `maySplit` allows it. Valid UTF-8 is expected; other
  /// bytes give some tokens, never a fault. At most 2^31 bytes.
  virtual void encode(std::string_view text, bool fresh, std::vector<uint32_t>& out) = 0;
  /// Bytes that it holds, within the bound it was made with, and its scratch.
  virtual size_t memoryBytes() const = 0;
};

/// Encodes plain text for one vocabulary. Immutable: lanes on different threads share it, and must not outlive it.
class PlainEncoder {
 public:
  virtual ~PlainEncoder() = default;
  /// A lane that remembers words in at most about `memoryBytes`; 0 remembers none.
  virtual std::unique_ptr<Lane> lane(size_t memoryBytes) const = 0;
  /// Whether the tokens of any text that begins with text[0, at) are those of text[0, at) followed by those of the rest,
  /// whatever the rest is as long as it begins with text[at]. `at` is above 0, below text.size(), and begins a character.
  /// It looks at a few bytes around `at`. Answers false where it cannot tell.
  virtual bool maySplit(std::string_view text, size_t at) const = 0;
  /// Bytes of the tables.
  virtual size_t memoryBytes() const = 0;
};

/// Makes the encoder of a vocabulary; linear in its size. Throws UNSUPPORTED with a sentence for one that is not known
/// here (its word rule, say), and INVALID_ARGUMENT for one that contradicts itself.
std::unique_ptr<PlainEncoder> makePlainEncoder(const Vocabulary& vocabulary);

}  // namespace stator::text
