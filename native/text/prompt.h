#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "text/plain.h"
#include "text/prefix_memory.h"
#include "text/special.h"

namespace stator::text {

/// The tokens around a text.
struct Frame {
  std::optional<uint32_t> first;
  std::optional<uint32_t> last;
};

/// What an encoder of prompts may hold beside its tables.
struct EncoderMemory {
  /// Of beginnings of texts.
  size_t prefixBytes = 0;
  /// Of words, for each thread that encodes.
  size_t wordBytes = 0;
};

/// A text to be encoded; borrowed. UTF-8; content in bytes.
struct Prompt {
  std::string_view text;
  Content content;
  /// A rendered chat prompt: it keeps a begin token that its template wrote, and gets no end token.
  bool isChat = false;
};

/// A prompt on its way to tokens.
struct Encoding {
  PrefixMemory::Known known;
  std::vector<uint32_t> tokens;
};

/// Turns whole texts into the tokens that the engine library would make of them: special tokens cut the text, plain parts
/// are encoded, the frame goes around. Any thread may use it.
class PromptEncoder {
 public:
  PromptEncoder(std::unique_ptr<PlainEncoder> plain, Specials specials, Frame frame, EncoderMemory memory);

  /// Looks up how the text begins; fast. Tokens are written to `room`, whatever it holds.
  Encoding begin(const Prompt& prompt, std::vector<uint32_t> room = {});
  /// Encodes the rest, remembers it, and puts the frame around.
  std::vector<uint32_t> finish(const Prompt& prompt, Encoding encoding);
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
  PrefixMemory prefixes_;
  mutable std::mutex mutex_;
  /// Lanes that nobody is on.
  std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace stator::text
