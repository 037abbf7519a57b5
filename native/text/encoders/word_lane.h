#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "text/encoders/word_memory.h"
#include "text/plain.h"

namespace stator::text {

/// A lane of an encoder that cuts text into words, each encoded by itself. It takes a text block by block, so that its
/// scratch stays small, and encodes only words that it does not remember.
class WordLane : public Lane {
 public:
  explicit WordLane(size_t memoryBytes) : memory_(memoryBytes) {}
  void encode(std::string_view text, bool fresh, std::vector<uint32_t>& out) override;
  size_t memoryBytes() const override;

 protected:
  /// As WordRule has them.
  virtual void cut(std::string_view text, std::vector<uint32_t>& ends) = 0;
  virtual bool maySplit(std::string_view text, size_t at) const = 0;
  /// Appends the tokens of one word, which is not empty.
  virtual void encodeWord(std::string_view word, std::vector<uint32_t>& out) = 0;
  /// Gives back scratch that a text of unusual words took.
  virtual void trim() = 0;

 private:
  size_t blockOf(std::string_view text) const;
  void encodeBlock(std::string_view block, const char* end, std::vector<uint32_t>& out);
  void encodeWords(std::span<const std::string_view> words, const char* end, std::vector<uint32_t>& out);

  WordMemory memory_;
  std::vector<uint32_t> ends_;
};

}  // namespace stator::text
