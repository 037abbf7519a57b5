#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace stator::text {

/// A token that is found in text as a whole, before anything else is cut.
struct SpecialToken {
  /// Of the vocabulary.
  uint32_t id = 0;
  /// As it stands in text, such as `<|im_end|>`; UTF-8. An empty one is never found.
  std::string text;
  /// Content does not name it: a control or unknown token.
  bool ofTemplate = false;
  /// Eats the white space before it.
  bool stripsLeft = false;
  /// Eats the white space after it.
  bool stripsRight = false;
};

/// A part of a text that was cut, in bytes: plain, or the special token `special`.
struct Part {
  size_t start;
  size_t end;
  const SpecialToken* special = nullptr;
};

/// Where a text is somebody else's: start and end in bytes, in turn, ascending.
using Content = std::vector<uint32_t>;

/// The special tokens of a vocabulary. Cuts text at them exactly as lib/text/segment.ts does: token by token in search
/// order, each taking its leftmost free places. Immutable.
class Specials {
 public:
  /// In search order, longest first.
  explicit Specials(std::vector<SpecialToken> tokens);

  /// The parts of text[from, …) in order, plain ones never empty; white space that a token eats is in none. Tokens of the
  /// template that touch content are plain. One pass where tokens do not overlap.
  std::vector<Part> cut(std::string_view text, size_t from, const Content& content) const;

  /// Whether no special token can lie across `at`, nor eat white space across it, whatever follows text[0, at): the sides
  /// of such a place are cut as they would be alone.
  bool maySplit(std::string_view text, size_t at) const;

  /// Bytes that it holds, about.
  size_t memoryBytes() const;

 private:
  struct Place {
    size_t start;
    size_t end;
    uint32_t order;
  };

  uint32_t step(uint32_t node, char byte) const;
  size_t findFirst(std::string_view text, size_t from) const;
  bool isHidden(const SpecialToken& token, size_t start, const Content& content) const;
  void settle(std::string_view text, const Content& content, const Place& cluster, std::vector<uint32_t>& orders,
              std::vector<Place>& kept) const;
  std::vector<Place> places(std::string_view text, size_t from, const Content& content) const;
  std::vector<Part> cutTokenByToken(std::string_view text, size_t from, const Content& content) const;

  std::vector<SpecialToken> tokens_;
  /// The trie of the texts: a node and a byte lead to a node.
  std::unordered_map<uint64_t, uint32_t> edges_;
  /// By node: the place in search order of the token that ends there.
  std::vector<uint32_t> orders_;
  /// By node: whether some text goes on behind it.
  std::vector<bool> hasNext_;
  std::array<bool, 256> isFirst_{};
  /// The byte that all texts begin with, if there is one such.
  char onlyFirst_ = 0;
  size_t longest_ = 0;
  bool stripsLeft_ = false;
  /// Some token eats white space, and some text holds it: then order decides, and only token by token is right.
  bool stripsInside_ = false;
};

}  // namespace stator::text
