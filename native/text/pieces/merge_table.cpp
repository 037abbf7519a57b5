#include "text/pieces/merge_table.h"

#include <algorithm>
#include <bit>

#include "engine/failure.h"

namespace stator::text {
namespace {

constexpr size_t kLeastSlots = 16;
/// How many merges ahead the slots are called for, so that their memory is there when their turn comes.
constexpr size_t kAhead = 16;

}  // namespace

MergeTable::MergeTable(std::vector<Merge> merges) : seed_(HashSeed::draw()), merges_(std::move(merges)) {
  require(merges_.size() <= kMostMerges, "The merges of the vocabulary are too many.");
  slots_.assign(std::bit_ceil(std::max(kLeastSlots, merges_.size() + merges_.size() / 2)), 0);
  shift_ = 64 - static_cast<unsigned>(std::countr_zero(slots_.size()));
  placeMask_ = std::bit_ceil(static_cast<uint32_t>(merges_.size()) + 1) - 1;
  for (size_t i = 0; i < merges_.size(); i++) {
    if (i + kAhead < merges_.size()) {
      const Merge& later = merges_[i + kAhead];
      __builtin_prefetch(&slots_[hashOf(later.left, later.right) >> shift_], 1);
    }
    const auto& [left, right, merged] = merges_[i];
    if (find(left, right) != kNone) continue;
    const uint64_t hash = hashOf(left, right);
    size_t at = hash >> shift_;
    while (slots_[at] != 0) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = (static_cast<uint32_t>(hash) & ~placeMask_) | (static_cast<uint32_t>(i) + 1);
  }
}

MergeTable::MergeTable(std::vector<Merge> merges, std::vector<uint32_t> ranks) : MergeTable(std::move(merges)) {
  ranks_ = std::move(ranks);
  std::vector<bool> known;
  for (size_t place = 0; place < ranks_.size(); place++) {
    const uint32_t rank = ranks_[place], merged = merges_[place].merged;
    if (rank >= known.size()) known.resize(rank + 1);
    if (rank >= results_.size()) results_.resize(rank + 1, kNone);
    if (!known[rank]) results_[rank] = merged;
    if (results_[rank] != merged) results_[rank] = kNone;
    known[rank] = true;
  }
}

size_t MergeTable::memoryBytes() const {
  return merges_.capacity() * sizeof(Merge) +
         (ranks_.capacity() + results_.capacity() + slots_.capacity()) * sizeof(uint32_t);
}

}  // namespace stator::text
