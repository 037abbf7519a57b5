#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "text/pieces/character_table.h"
#include "text/pieces/merge_table.h"

namespace stator::text {

/// Merges the symbols of one word: the lowest rank first, the leftmost first among equals. Scratch that is used again
/// for the next word; the time of a word of n symbols is O(n log n), its memory about 17 bytes for each of the word's.
class Merger {
 public:
  /// Begins a word of at most `bytes`, which are at most 2^31.
  void begin(size_t bytes);
  /// Adds the next symbol, which stands for so many bytes.
  void add(uint32_t symbol, size_t bytes) {
    symbols_[size_] = symbol;
    spans_[size_] = 1;
    starts_[size_ + 1] = starts_[size_] + static_cast<uint32_t>(bytes);
    size_++;
  }
  /// Merges as long as there is a pair that has a rank. There is at least one symbol.
  void merge(const MergeTable& table);
  /// Begins a word with a symbol for each of its characters, and merges it.
  void mergeCharacters(std::string_view word, const CharacterTable& characters, const MergeTable& table);
  /// Calls `each(symbol, begin, end)` for what is left, in order, with the bytes of the word that it stands for.
  template <typename Each>
  void visit(Each each) const {
    for (size_t at = 0; at < size_; at += spans_[at]) each(symbols_[at], starts_[at], starts_[at + spans_[at]]);
  }
  size_t memoryBytes() const;
  /// Gives memory back where a long word took much.
  void trim();

 private:
  /// What a merge changed beside the symbol itself.
  struct Joined {
    size_t before, next;
  };

  Joined join(const MergeTable& table, size_t at);
  void mergeShort(const MergeTable& table);
  void mergeLong(const MergeTable& table);
  void mergeBlock(const MergeTable& table, size_t block);
  void build();
  void refresh(size_t block);

  size_t size_ = 0;
  /// A symbol stands where its first part stood.
  std::vector<uint32_t> symbols_;
  /// Where a symbol begins in the word, and the end of the last one.
  std::vector<uint32_t> starts_;
  /// How many parts a symbol has: at its first and at its last.
  std::vector<uint32_t> spans_;
  /// The rank of a symbol and its right neighbour, at the symbol's place; of long words the lowest of every block of
  /// these, of every block of those, and so on until one block is left. An entry is a rank and the entry's place in its
  /// block, so the lowest entry is the leftmost of the lowest rank.
  std::vector<std::vector<int32_t>> rows_{1};
  /// Rows in use.
  size_t height_ = 1;
};

}  // namespace stator::text
