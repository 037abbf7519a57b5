#include "text/pieces/merger.h"

#include <algorithm>

namespace stator::text {
namespace {

constexpr unsigned kPlaceBits = 5;
constexpr size_t kBlock = 1 << kPlaceBits;
constexpr size_t kPlaceMask = kBlock - 1;
/// The entry of a pair without a rank, at place 0. It and all others are positive.
constexpr int32_t kNoEntry = INT32_MAX & ~static_cast<int32_t>(kPlaceMask);
/// The sizes of short words are rounded up to this, for the sake of vector instructions.
constexpr size_t kStep = 8;
constexpr size_t kKept = 1 << 14;
static_assert((MergeTable::kMostMerges << kPlaceBits) < kNoEntry);

size_t roundUp(size_t size, size_t step) { return (size + step - 1) / step * step; }

int32_t entryOf(uint32_t rank, size_t at) {
  const int32_t entry = rank == kNone ? kNoEntry : static_cast<int32_t>(rank << kPlaceBits);
  return entry | static_cast<int32_t>(at & kPlaceMask);
}

/// The same rank at another place.
int32_t placed(int32_t entry, size_t at) {
  return (entry & ~static_cast<int32_t>(kPlaceMask)) | static_cast<int32_t>(at & kPlaceMask);
}

uint32_t rankOf(int32_t entry) { return static_cast<uint32_t>(entry) >> kPlaceBits; }
size_t placeOf(int32_t entry) { return static_cast<size_t>(entry) & kPlaceMask; }

int32_t lowestOf(const int32_t* block) {
  int32_t lowest = INT32_MAX;
  for (size_t i = 0; i < kBlock; i++) lowest = std::min(lowest, block[i]);
  return lowest;
}

}  // namespace

void Merger::begin(size_t bytes) {
  size_ = 0;
  if (symbols_.size() >= bytes) return;
  const size_t size = roundUp(bytes, kBlock);
  rows_[0].resize(size);
  starts_.resize(size + 1);
  spans_.resize(size);
  // Last, since its size tells how much room there is.
  symbols_.resize(size);
}

void Merger::merge(const MergeTable& table) {
  int32_t* ranks = rows_[0].data();
  for (size_t i = 0; i + 1 < size_; i++) ranks[i] = entryOf(table.rank(symbols_[i], symbols_[i + 1]), i);
  const size_t end = roundUp(size_, size_ <= kBlock ? kStep : kBlock);
  for (size_t i = size_ - 1; i < end; i++) ranks[i] = entryOf(kNone, i);
  if (size_ <= kBlock) {
    mergeShort(table);
  } else {
    mergeLong(table);
  }
}

void Merger::mergeCharacters(std::string_view word, const CharacterTable& characters, const MergeTable& table) {
  begin(word.size());
  for (size_t at = 0; at < word.size();) {
    const auto [point, size] = readCharacter(word.substr(at));
    add(characters[point], size);
    at += size;
  }
  merge(table);
}

Merger::Joined Merger::join(const MergeTable& table, size_t at) {
  uint32_t* symbols = symbols_.data();
  uint32_t* spans = spans_.data();
  int32_t* ranks = rows_[0].data();
  const size_t next = at + spans[at];
  const size_t end = next + spans[next];
  const uint32_t merged = table.merged(symbols[at], symbols[next], rankOf(ranks[at]));
  symbols[at] = merged;
  spans[at] = spans[end - 1] = static_cast<uint32_t>(end - at);
  ranks[next] = entryOf(kNone, next);
  ranks[at] = entryOf(end < size_ ? table.rank(merged, symbols[end]) : kNone, at);
  if (at == 0) return {at, next};
  const size_t before = at - spans[at - 1];
  ranks[before] = entryOf(table.rank(symbols[before], merged), before);
  return {before, next};
}

void Merger::mergeShort(const MergeTable& table) {
  const int32_t* ranks = rows_[0].data();
  const size_t steps = roundUp(size_, kStep) / kStep;
  for (;;) {
    int32_t lowest = INT32_MAX;
    for (size_t step = 0; step < steps; step++) {
      for (size_t i = 0; i < kStep; i++) lowest = std::min(lowest, ranks[step * kStep + i]);
    }
    if (lowest >= kNoEntry) return;
    join(table, placeOf(lowest));
  }
}

void Merger::mergeLong(const MergeTable& table) {
  build();
  for (;;) {
    size_t block = 0;
    for (size_t row = height_; row-- > 1;) {
      const int32_t lowest = lowestOf(&rows_[row][block * kBlock]);
      if (lowest >= kNoEntry) return;
      block = block * kBlock + placeOf(lowest);
    }
    mergeBlock(table, block);
  }
}

/// Merges in a block for as long as the next merge of all lies in it: the one of the lowest rank while no other block
/// has a lower one, nor one to its left the same.
void Merger::mergeBlock(const MergeTable& table, size_t block) {
  const int32_t* ranks = &rows_[0][block * kBlock];
  int32_t lowest = lowestOf(ranks);
  for (const uint32_t rank = rankOf(lowest); rankOf(lowest) <= rank; lowest = lowestOf(ranks)) {
    const auto [before, next] = join(table, block * kBlock + placeOf(lowest));
    if (next / kBlock != block) refresh(next / kBlock);
    if (before / kBlock == block) continue;
    refresh(before / kBlock);
    if (rankOf(rows_[0][before]) <= rank) break;
  }
  refresh(block);
}

void Merger::build() {
  height_ = 1;
  for (size_t size = size_; size > kBlock; height_++) {
    const size_t blocks = (size + kBlock - 1) / kBlock;
    if (rows_.size() == height_) rows_.emplace_back();
    auto& row = rows_[height_];
    if (row.size() < roundUp(blocks, kBlock)) row.resize(roundUp(blocks, kBlock));
    for (size_t i = 0; i < blocks; i++) row[i] = placed(lowestOf(&rows_[height_ - 1][i * kBlock]), i);
    for (size_t i = blocks; i < roundUp(blocks, kBlock); i++) row[i] = entryOf(kNone, i);
    size = blocks;
  }
}

/// Carries the lowest rank of a block upwards, as far as it changes anything.
void Merger::refresh(size_t block) {
  for (size_t row = 1; row < height_; row++) {
    const int32_t lowest = placed(lowestOf(&rows_[row - 1][block * kBlock]), block);
    if (rows_[row][block] == lowest) return;
    rows_[row][block] = lowest;
    block /= kBlock;
  }
}

size_t Merger::memoryBytes() const {
  size_t words = symbols_.capacity() + starts_.capacity() + spans_.capacity();
  for (const auto& row : rows_) words += row.capacity();
  return words * sizeof(uint32_t);
}

void Merger::trim() {
  if (symbols_.size() <= kKept) return;
  for (auto* each : {&symbols_, &starts_, &spans_}) std::vector<uint32_t>().swap(*each);
  rows_ = std::vector<std::vector<int32_t>>(1);
}

}  // namespace stator::text
