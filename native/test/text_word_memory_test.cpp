#include "text/encoders/word_memory.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "check.h"

namespace {

using stator::test::Rng;
using stator::text::WordMemory;

std::vector<uint32_t> recall(WordMemory& memory, std::string_view word, const char* end) {
  uint32_t tokens[WordMemory::kMostTokens];
  const auto key = memory.keyOf(word, end);
  memory.expect(key, word.size());
  const size_t count = memory.recall(key, word, tokens);
  return {tokens, tokens + count};
}

void keep(WordMemory& memory, std::string_view word, const std::vector<uint32_t>& tokens) {
  memory.keep(memory.keyOf(word, word.data() + word.size()), word, tokens);
}

}  // namespace

TEST(wordMemoryGivesBackWhatItKept) {
  WordMemory memory(1 << 16);
  const std::string text = "word, and what stands behind it";
  keep(memory, "word", {7});
  CHECK(recall(memory, std::string_view(text).substr(0, 4), text.data() + text.size()) == std::vector<uint32_t>{7});
  CHECK(recall(memory, std::string_view(text).substr(0, 3), text.data() + text.size()).empty());
  keep(memory, "several", {1, 2, 3, 4, 5, 6});
  CHECK((recall(memory, "several", nullptr) == std::vector<uint32_t>{1, 2, 3, 4, 5, 6}));
  const std::string longest(62, 'x'), tooLong(63, 'x');
  keep(memory, longest, {1, 2});
  keep(memory, tooLong, {1, 2});
  CHECK((recall(memory, longest, nullptr) == std::vector<uint32_t>{1, 2}));
  CHECK(recall(memory, tooLong, nullptr).empty());
  keep(memory, "many", std::vector<uint32_t>(17, 1));
  CHECK(recall(memory, "many", nullptr).empty());
}

TEST(wordMemoryTellsZerosFromNothing) {
  WordMemory memory(1 << 16);
  const std::string zeros(8, '\0');
  for (size_t size = 1; size <= zeros.size(); size++) {
    const auto word = std::string_view(zeros).substr(0, size);
    CHECK(recall(memory, word, zeros.data() + zeros.size()).empty());
    keep(memory, word, {static_cast<uint32_t>(size)});
    CHECK(recall(memory, word, zeros.data() + zeros.size()) == std::vector<uint32_t>{static_cast<uint32_t>(size)});
  }
}

TEST(wordMemoryStaysInItsBytes) {
  for (const size_t bytes : {size_t{0}, size_t{1000}, size_t{4096}, size_t{100000}}) {
    WordMemory memory(bytes);
    CHECK(memory.memoryBytes() <= bytes);
    CHECK(bytes < 4096 || memory.memoryBytes() > bytes * 9 / 10);
    keep(memory, "word", {1});
    CHECK(recall(memory, "word", nullptr).size() == (bytes < 4096 ? 0 : 1));
  }
}

TEST(wordMemoryForgetsButNeverErrs) {
  Rng rng(1);
  WordMemory memory(1 << 14);
  std::map<std::string, std::vector<uint32_t>> kept;
  size_t known = 0;
  for (int i = 0; i < 20000; i++) {
    const size_t size = 1 + rng.below(rng.below(4) == 0 ? 70 : 4);
    // A buffer of the word's own, so that a read behind it is seen.
    const auto word = std::make_unique<char[]>(size);
    for (size_t at = 0; at < size; at++) word[at] = static_cast<char>(rng.below(3) == 0 ? 0 : 'a' + rng.below(8));
    const std::string_view view(word.get(), size);
    const auto tokens = recall(memory, view, word.get() + size);
    auto& expected = kept[std::string(view)];
    CHECK(tokens.empty() || tokens == expected);
    known += tokens.empty() ? 0 : 1;
    if (!tokens.empty()) continue;
    expected.assign(1 + rng.below(18), static_cast<uint32_t>(i));
    keep(memory, view, expected);
  }
  CHECK(known > 1000);
}
