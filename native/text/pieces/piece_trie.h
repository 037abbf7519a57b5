#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "text/pieces/piece_table.h"

namespace stator::text {

/// A tree of pieces by their bytes, in one array: the child of a node by a byte lies at the node's base XOR the byte.
class PieceTrie {
 public:
  static constexpr uint32_t kRoot = 0;

  /// Takes texts and tokens; texts are neither empty nor there twice. It takes no longer than sorting them.
  explicit PieceTrie(std::vector<std::pair<std::string_view, uint32_t>> pieces);

  /// The child of a node; kNone where there is none.
  uint32_t child(uint32_t node, char byte) const {
    const uint32_t at = nodes_[node].base ^ static_cast<uint8_t>(byte);
    return nodes_[at].parent == node ? at : kNone;
  }

  /// The token whose text leads to a node; kNone for none.
  uint32_t tokenAt(uint32_t node) const { return nodes_[node].token; }

  /// How many bytes the longest piece takes with which text[at, …) begins, and its token; 0 and kNone for none.
  std::pair<size_t, uint32_t> longest(std::string_view text, size_t at) const {
    std::pair<size_t, uint32_t> found{0, kNone};
    uint32_t node = kRoot;
    for (size_t end = at; end < text.size();) {
      node = child(node, text[end++]);
      if (node == kNone) break;
      if (nodes_[node].token != kNone) found = {end - at, nodes_[node].token};
    }
    return found;
  }

  size_t memoryBytes() const { return nodes_.capacity() * sizeof(Node); }

 private:
  struct Node {
    /// Its children lie in the same block of 256.
    uint32_t base = 0;
    uint32_t parent = kNone;
    uint32_t token = kNone;
  };
  class Builder;
  std::vector<Node> nodes_;
};

}  // namespace stator::text
