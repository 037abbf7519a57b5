#include "text/pieces/piece_trie.h"

#include <algorithm>
#include <array>
#include <bit>

namespace stator::text {
namespace {

/// Sorts by text. Eight bytes at once decide nearly always.
void sortPieces(std::vector<std::pair<std::string_view, uint32_t>>& pieces) {
  std::vector<std::pair<uint64_t, uint32_t>> keys;
  keys.reserve(pieces.size());
  for (uint32_t at = 0; at < pieces.size(); at++) {
    uint64_t key = 0;
    for (size_t i = 0; i < 8; i++) {
      const std::string_view text = pieces[at].first;
      key = key << 8 | (i < text.size() ? static_cast<uint8_t>(text[i]) : 0);
    }
    keys.emplace_back(key, at);
  }
  std::sort(keys.begin(), keys.end(), [&](const auto& left, const auto& right) {
    if (left.first != right.first) return left.first < right.first;
    return pieces[left.second].first < pieces[right.second].first;
  });
  std::vector<std::pair<std::string_view, uint32_t>> sorted;
  sorted.reserve(pieces.size());
  for (const auto& key : keys) sorted.push_back(pieces[key.second]);
  pieces = std::move(sorted);
}

}  // namespace

/// Places the nodes, a block of 256 at a time. Only the last few blocks are searched for room.
class PieceTrie::Builder {
 public:
  Builder(std::vector<Node>& nodes, std::vector<std::pair<std::string_view, uint32_t>>& pieces)
      : nodes_(nodes), pieces_(pieces) {}

  void build() {
    sortPieces(pieces_);
    addBlock();
    take(kRoot, kNone);
    std::vector<Range> open;
    if (!pieces_.empty()) open.push_back({kRoot, 0, 0, static_cast<uint32_t>(pieces_.size())});
    while (!open.empty()) {
      const Range range = open.back();
      open.pop_back();
      place(range, open);
    }
  }

 private:
  /// Pieces that share their first `depth` bytes, which lead to `node`.
  struct Range {
    uint32_t node;
    uint32_t depth;
    uint32_t begin;
    uint32_t end;
  };
  static constexpr uint32_t kBlock = 256;
  static constexpr uint32_t kOpenBlocks = 16;

  void addBlock() {
    nodes_.resize(nodes_.size() + kBlock);
    free_.push_back({~uint64_t{0}, ~uint64_t{0}, ~uint64_t{0}, ~uint64_t{0}});
  }

  void take(uint32_t at, uint32_t parent) {
    free_[at / kBlock][at / 64 % 4] &= ~(uint64_t{1} << at % 64);
    nodes_[at].parent = parent;
  }

  bool isFree(uint32_t at) const { return (free_[at / kBlock][at / 64 % 4] >> at % 64 & 1) != 0; }

  uint32_t findIn(uint32_t block) const {
    for (uint32_t part = 0; part < 4; part++) {
      for (uint64_t left = free_[block][part]; left != 0; left &= left - 1) {
        const uint32_t base = (block * kBlock + part * 64 + static_cast<uint32_t>(std::countr_zero(left))) ^ labels_[0];
        const auto fits = [&](uint8_t label) { return isFree(base ^ label); };
        if (std::all_of(labels_.begin(), labels_.end(), fits)) return base;
      }
    }
    return kNone;
  }

  /// A base under which all labels are free.
  uint32_t findBase() {
    const auto blocks = static_cast<uint32_t>(free_.size());
    for (uint32_t block = blocks > kOpenBlocks ? blocks - kOpenBlocks : 0; block < blocks; block++) {
      const uint32_t base = findIn(block);
      if (base != kNone) return base;
    }
    addBlock();
    return blocks * kBlock;
  }

  void place(Range range, std::vector<Range>& open) {
    if (pieces_[range.begin].first.size() == range.depth) {
      nodes_[range.node].token = pieces_[range.begin++].second;
      if (range.begin == range.end) return;
    }
    labels_.clear();
    const size_t first = open.size();
    for (uint32_t at = range.begin; at < range.end; at++) {
      const auto label = static_cast<uint8_t>(pieces_[at].first[range.depth]);
      if (labels_.empty() || labels_.back() != label) {
        labels_.push_back(label);
        open.push_back({0, range.depth + 1, at, at});
      }
      open.back().end = at + 1;
    }
    const uint32_t base = findBase();
    nodes_[range.node].base = base;
    for (size_t i = 0; i < labels_.size(); i++) {
      open[first + i].node = base ^ labels_[i];
      take(base ^ labels_[i], range.node);
    }
  }

  std::vector<Node>& nodes_;
  std::vector<std::pair<std::string_view, uint32_t>>& pieces_;
  /// One bit per place of a block.
  std::vector<std::array<uint64_t, 4>> free_;
  std::vector<uint8_t> labels_;
};

PieceTrie::PieceTrie(std::vector<std::pair<std::string_view, uint32_t>> pieces) {
  Builder(nodes_, pieces).build();
  nodes_.shrink_to_fit();
}

}  // namespace stator::text
