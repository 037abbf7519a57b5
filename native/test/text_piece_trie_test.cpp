#include "text/pieces/piece_trie.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "check.h"

namespace {

using stator::text::kNone;
using stator::text::PieceTrie;

}  // namespace

TEST(piece_trie_finds_the_longest_of_any_pieces) {
  stator::test::Rng rng(1);
  for (int round = 0; round < 100; round++) {
    // From nearly the same pieces to all bytes.
    const uint64_t letters = uint64_t{1} << rng.below(9);
    const auto random = [&](size_t most) {
      std::string text(1 + rng.below(most), ' ');
      for (char& byte : text) byte = static_cast<char>(rng.below(letters));
      return text;
    };
    std::map<std::string, uint32_t> plain;
    for (size_t left = rng.below(round == 0 ? 20000 : 300); left > 0; left--) plain.emplace(random(6), plain.size());
    const PieceTrie trie({plain.begin(), plain.end()});
    for (int each = 0; each < 100; each++) {
      const std::string text = random(10);
      std::pair<size_t, uint32_t> want{0, kNone};
      for (size_t size = 1; size <= text.size(); size++) {
        if (const auto found = plain.find(text.substr(0, size)); found != plain.end()) want = {size, found->second};
      }
      CHECK(trie.longest(text, 0) == want);
    }
  }
}

TEST(piece_trie_may_be_empty) {
  const PieceTrie trie({});
  for (int byte = 0; byte < 256; byte++) CHECK(trie.child(PieceTrie::kRoot, static_cast<char>(byte)) == kNone);
}
