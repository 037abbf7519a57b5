#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "text/encoders/character_map.h"
#include "text/pieces/piece_trie.h"
#include "text/vocabulary.h"

namespace stator::text {

/// What a unigram vocabulary makes of a text before it cuts it: characters mapped, and where the file says so runs of
/// spaces as one, and one in front. Spaces stay spaces, and marks of spaces become some.
class NormalForm {
 public:
  /// Throws as CharacterMap does.
  explicit NormalForm(const Vocabulary& vocabulary);

  /// Writes the normal form of a text over `out`. False where that may not be UTF-8: what begins like a user-defined
  /// token is copied, even half a character. `fresh` as in Lane::encode.
  bool write(std::string_view text, bool fresh, std::string& out) const;

  /// Whether the normal form of every text that has this character before a space is that of what ends with the
  /// character followed by that of what begins with the space; and the first ends with the character as it is.
  bool splitsAfter(uint8_t byte) const { return splits_ && byte > ' ' && byte < 0x7F && ways_[byte] != Way::look; }

  size_t memoryBytes() const { return sizeof *this + map_.memoryBytes() + userDefined_.memoryBytes(); }

 private:
  /// What a byte becomes.
  enum class Way : uint8_t {
    copy,          ///< itself
    copyByNarrow,  ///< itself before another byte below 0x80 or the end
    look,          ///< what the tables say
  };
  class Writer;
  size_t copiedBytes(std::string_view text, size_t at) const;
  size_t userDefinedBytes(std::string_view text, size_t at) const;

  const bool addSpacePrefix_;
  const bool removeExtraSpaces_;
  const CharacterMap map_;
  const PieceTrie userDefined_;
  std::array<Way, 256> ways_{};
  bool splits_ = false;
};

}  // namespace stator::text
