#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "text/plain.h"
#include "text/special.h"

namespace stator::text {

/// The tokens around a text.
struct Frame {
  std::optional<uint32_t> first;
  std::optional<uint32_t> last;
};

/// What stands before a text that is encoded.
enum class Before {
  /// Nothing.
  nothing,
  /// A cut behind a special token.
  special,
  /// A cut in plain text.
  plain,
};

/// A text to be encoded; borrowed. UTF-8; content in bytes.
struct Prompt {
  std::string_view text;
  Content content;
  /// A rendered chat prompt: it keeps a begin token that its template wrote, and gets no end token.
  bool isChat = false;
  /// Where the text is the rest of one: what its cut said.
  Before before = Before::nothing;
};

/// A place in a text that nothing reaches over, whatever follows: whoever knows the tokens before it has the tokens of
/// a longer text by encoding the rest alone.
struct Cut {
  /// Bytes of the text before it.
  size_t end;
  /// Tokens of these.
  size_t tokens;
  /// Bytes behind it that must be the same too: of the character on which the cut depends.
  size_t ahead;
  /// What the rest begins behind.
  Before before;
};

/// A text in tokens, and where it may be cut.
struct Encoding {
  std::vector<uint32_t> tokens;
  /// In order.
  std::vector<Cut> cuts;
};

/// Turns whole texts into the tokens that the engine library would make of them: special tokens cut the text, plain parts
/// are encoded, the frame goes around. Any thread may use it.
class PromptEncoder {
 public:
  /// Bytes between two cuts, at least.
  static constexpr size_t kLeastChunk = 256;

  /// `wordBytes`: what each thread that encodes may hold of words.
  PromptEncoder(std::unique_ptr<PlainEncoder> plain, Specials specials, Frame frame, size_t wordBytes);

  /// Tokens are written to `room`, whatever it holds.
  Encoding encode(const Prompt& prompt, std::vector<uint32_t> room = {});
  /// Bytes that it holds.
  size_t memoryBytes() const;

 private:
  class Run;

  std::unique_ptr<Lane> takeLane();
  void giveLane(std::unique_ptr<Lane> lane);

  const std::unique_ptr<PlainEncoder> plain_;
  const Specials specials_;
  const Frame frame_;
  const size_t wordBytes_;
  mutable std::mutex mutex_;
  /// Lanes that nobody is on.
  std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace stator::text
