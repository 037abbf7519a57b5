#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "text/pieces/hash.h"
#include "text/pieces/piece_table.h"

namespace stator::text {

/// Two neighbouring symbols that become one.
struct Merge {
  uint32_t left, right, merged;
};

/// Finds the rank of a merge by its two symbols. About 20 bytes a merge.
class MergeTable {
 public:
  /// More are refused.
  static constexpr size_t kMostMerges = (size_t{1} << 26) - 2;

  MergeTable() : MergeTable(std::vector<Merge>{}) {}
  /// Ranks are the places in `merges`; of repeated ones the first counts.
  explicit MergeTable(std::vector<Merge> merges);
  /// Ranks are given, from 0 on, one per merge; several merges may share one. No merge is there twice.
  MergeTable(std::vector<Merge> merges, std::vector<uint32_t> ranks);

  /// The rank of a pair, or kNone.
  uint32_t rank(uint32_t left, uint32_t right) const {
    const uint32_t place = find(left, right);
    return place == kNone || ranks_.empty() ? place : ranks_[place];
  }
  /// What a pair becomes that has this rank.
  uint32_t merged(uint32_t left, uint32_t right, uint32_t rank) const {
    if (ranks_.empty()) return merges_[rank].merged;
    return results_[rank] != kNone ? results_[rank] : merges_[find(left, right)].merged;
  }
  /// The merges in order; their places are their ranks where none were given.
  const Merge& operator[](size_t place) const { return merges_[place]; }
  size_t size() const { return merges_.size(); }
  size_t memoryBytes() const;

 private:
  uint64_t hashOf(uint32_t left, uint32_t right) const {
    return foldProduct((static_cast<uint64_t>(left) << 32 | right) ^ seed_.first, seed_.second);
  }

  /// The place of a merge, or kNone.
  uint32_t find(uint32_t left, uint32_t right) const {
    const uint64_t hash = hashOf(left, right);
    for (size_t at = hash >> shift_;; at = (at + 1) & (slots_.size() - 1)) {
      const uint32_t slot = slots_[at];
      if (slot == 0) return kNone;
      // The upper bits tell nearly all other pairs apart without a look at the merge.
      if (((slot ^ static_cast<uint32_t>(hash)) & ~placeMask_) != 0) continue;
      const uint32_t place = (slot & placeMask_) - 1;
      if (merges_[place].left == left && merges_[place].right == right) return place;
    }
  }

  HashSeed seed_;
  std::vector<Merge> merges_;
  /// Of each merge; empty where it is the merge's place.
  std::vector<uint32_t> ranks_;
  /// What all merges of a given rank make; kNone where it is not the same.
  std::vector<uint32_t> results_;
  /// 0 is free; else the place plus 1 in the lower bits, bits of the hash above.
  std::vector<uint32_t> slots_;
  uint32_t placeMask_ = 0;
  unsigned shift_ = 0;
};

}  // namespace stator::text
