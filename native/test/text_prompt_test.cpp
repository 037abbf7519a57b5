#include "text/prompt.h"

#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "core/xxh3.h"

namespace {

using namespace stator::text;
using stator::test::Rng;

/// A token per word, which begins at a space behind another character; the first word of fresh text has another one.
/// Other tokens than those of the special ones: the lowest bit is set.
class WordLane : public Lane {
 public:
  void encode(std::string_view text, bool fresh, std::vector<uint32_t>& out) override {
    size_t start = 0;
    for (size_t at = 1; at <= text.size(); at++) {
      if (at < text.size() && !(text[at] == ' ' && text[at - 1] != ' ')) continue;
      const uint64_t seed = start == 0 && fresh ? 1 : 0;
      out.push_back(static_cast<uint32_t>(stator::xxh3(text.data() + start, at - start, seed)) | 1);
      start = at;
    }
  }
  size_t memoryBytes() const override { return 100; }
};

class WordEncoder : public PlainEncoder {
 public:
  std::unique_ptr<Lane> lane(size_t) const override { return std::make_unique<WordLane>(); }
  bool maySplit(std::string_view text, size_t at) const override { return text[at] == ' ' && text[at - 1] != ' '; }
  size_t memoryBytes() const override { return 1000; }
};

PromptEncoder makeEncoder(size_t prefixBytes, Frame frame = {}) {
  std::vector<SpecialToken> specials{
      {12, "<|user|>", true, false, false}, {10, "<turn>", true, false, false}, {14, "<m> ", false, false, false},
      {16, "<s>", true, false, false},
  };
  return PromptEncoder(std::make_unique<WordEncoder>(), Specials(std::move(specials)), frame, {prefixBytes, 0});
}

std::vector<uint32_t> encode(PromptEncoder& encoder, const Prompt& prompt) {
  return encoder.finish(prompt, encoder.begin(prompt));
}

/// A conversation that grows: words, special tokens, some of it content.
void grow(std::string& text, Content& content, Rng& rng) {
  static const char* const kPieces[] = {"word ", "<turn>", " and", "<|user|>", "<m> ", "<m>", "<", "  ", "\xC3\xA9 x", "\n"};
  const bool isContent = rng.below(2) == 0;
  const auto start = static_cast<uint32_t>(text.size());
  for (size_t size = text.size() + rng.below(3000); text.size() < size;) text += kPieces[rng.below(10)];
  if (!isContent || text.size() == start) return;
  content.push_back(start);
  content.push_back(static_cast<uint32_t>(text.size()));
}

}  // namespace

TEST(prompts_are_framed) {
  auto encoder = makeEncoder(1 << 20, {16, 2});
  CHECK((encode(encoder, {"<turn>", {}, false}) == std::vector<uint32_t>{16, 10, 2}));
  CHECK((encode(encoder, {"<turn>", {}, true}) == std::vector<uint32_t>{16, 10}));
  CHECK((encode(encoder, {"<s><turn>", {}, true}) == std::vector<uint32_t>{16, 10}));
  CHECK((encode(encoder, {"<s><turn>", {}, false}) == std::vector<uint32_t>{16, 16, 10, 2}));
  CHECK((encode(encoder, {"", {}, true}) == std::vector<uint32_t>{16}));
}

TEST(prompts_that_grow_are_what_they_are_alone) {
  for (const size_t prefixBytes : {size_t{1} << 20, size_t{8000}, size_t{0}}) {
    auto encoder = makeEncoder(prefixBytes, {16, std::nullopt});
    auto without = makeEncoder(0, {16, std::nullopt});
    Rng rng(prefixBytes + 1);
    for (int conversation = 0; conversation < 60; conversation++) {
      std::string text;
      Content content;
      for (int turn = 0; turn < 12; turn++) {
        grow(text, content, rng);
        const Prompt prompt{text, content, true};
        CHECK(encode(encoder, prompt) == encode(without, prompt));
        // Another ending, other content: what is known must not be taken for it.
        auto other = text;
        other[other.size() - 1 - rng.below(other.size())] = "x <"[rng.below(3)];
        const Prompt changed{other, rng.below(2) == 0 ? Content{} : content, true};
        CHECK(encode(encoder, changed) == encode(without, changed));
        CHECK(encoder.memoryBytes() <= prefixBytes + without.memoryBytes());
      }
    }
  }
}

TEST(prompts_find_what_they_begin_with) {
  auto encoder = makeEncoder(1 << 20);
  std::string text;
  Content content;
  Rng rng(3);
  while (text.size() < 20000) grow(text, content, rng);
  encode(encoder, {text, content, true});
  const auto known = encoder.begin({text, content, true}).known.at;
  CHECK(known > 17000 && known <= text.size());
  CHECK(encoder.begin({text + "more", content, true}).known.at == known);
  CHECK(encoder.begin({text, {}, true}).known.at < known);
}

TEST(prompts_take_turns_in_a_small_memory_without_losing_their_starts) {
  auto encoder = makeEncoder(12000);
  std::string text;
  Content content;
  Rng rng(5);
  while (text.size() < 40000) grow(text, content, rng);
  encode(encoder, {text, content, true});
  const auto known = encoder.begin({text, content, true}).known.at;
  CHECK(known > 1000 && known < 12000);
}

TEST(prompts_are_encoded_on_many_threads) {
  auto encoder = makeEncoder(100000);
  auto without = makeEncoder(0);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (size_t each = 0; each < wrong.size(); each++) {
    threads.emplace_back([&, each] {
      Rng rng(each % 2);
      std::string text;
      Content content;
      for (int turn = 0; turn < 40; turn++) {
        grow(text, content, rng);
        const Prompt prompt{text, content, true};
        wrong[each] += encode(encoder, prompt) == encode(without, prompt) ? 0 : 1;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const int each : wrong) CHECK(each == 0);
}
