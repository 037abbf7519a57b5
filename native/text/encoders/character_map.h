#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace stator::text {

/// What a unigram vocabulary's precompiled map replaces: the longest key with which a text goes on, by another text. In
/// the file it is a size, a double array of 32-bit entries, and the replacements, each up to a NUL. Keeps a copy.
class CharacterMap {
 public:
  /// Keys longer than this are refused: it bounds what each byte of a text can cost.
  static constexpr size_t kMostKeyBytes = 64;
  /// Replacements with more bytes than so many for each of their key are refused.
  static constexpr size_t kMostGrowth = 16;
  /// Larger maps are refused; those in use take a quarter of a megabyte.
  static constexpr size_t kMostBytes = 16 << 20;

  /// An empty map replaces nothing. Throws INVALID_ARGUMENT for a map that contradicts itself or is beyond the limits.
  explicit CharacterMap(std::string_view file);

  /// A key and what stands for it.
  struct Match {
    size_t keyBytes;
    std::string_view replacement;
  };

  /// The longest key with which text[at, …) begins; of 0 bytes for none.
  Match match(std::string_view text, size_t at) const;

  /// Whether a key begins with this byte.
  bool begins(uint8_t byte) const { return begins_[byte]; }
  /// Whether a key is this byte alone, or goes on with a byte below 0x80.
  bool touchesNarrow(uint8_t byte) const { return touchesNarrow_[byte]; }
  /// Whether any key holds a byte below 0x80 behind its first.
  bool narrowInside() const { return narrowInside_; }

  size_t memoryBytes() const {
    return sizeof *this + entries_.capacity() * sizeof(uint32_t) + replacements_.capacity();
  }

 private:
  /// An entry's bits: label 0–7 with bit 31, whether a key ends 8, wide base 9, base 10–30; or an offset in 0–30.
  static uint32_t baseOf(uint32_t entry) { return (entry >> 10) << ((entry & 0x200) >> 6); }
  static bool ends(uint32_t entry) { return (entry & 0x100) != 0; }
  bool hasLabel(uint32_t at, uint8_t label) const {
    return at < entries_.size() && (entries_[at] & 0x800000FF) == label;
  }
  void check();
  void checkEnd(uint32_t at, size_t keyBytes) const;

  std::vector<uint32_t> entries_;
  std::vector<char> replacements_;
  std::array<bool, 256> begins_{};
  std::array<bool, 256> touchesNarrow_{};
  bool narrowInside_ = false;
};

}  // namespace stator::text
