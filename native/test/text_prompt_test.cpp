#include "text/prompt.h"

#include <algorithm>
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

PromptEncoder makeEncoder(Frame frame = {}) {
  std::vector<SpecialToken> specials{
      {12, "<|user|>", true, false, false}, {10, "<turn>", true, false, false}, {14, "<m> ", false, false, false},
      {16, "<s>", true, false, false},
  };
  return PromptEncoder(std::make_unique<WordEncoder>(), Specials(std::move(specials)), frame, 0);
}

std::vector<uint32_t> encode(PromptEncoder& encoder, const Prompt& prompt) { return encoder.encode(prompt).tokens; }

/// The tokens before a cut and those of what follows it, encoded alone.
std::vector<uint32_t> continued(PromptEncoder& encoder, const Encoding& known, const Cut& cut, const Prompt& prompt) {
  Prompt rest{prompt.text.substr(cut.end), {}, prompt.isChat, cut.before};
  for (size_t at = 0; at < prompt.content.size(); at += 2) {
    if (prompt.content[at + 1] <= cut.end) continue;
    rest.content.push_back(static_cast<uint32_t>(std::max<size_t>(prompt.content[at], cut.end) - cut.end));
    rest.content.push_back(static_cast<uint32_t>(prompt.content[at + 1] - cut.end));
  }
  std::vector<uint32_t> tokens(known.tokens.begin(), known.tokens.begin() + static_cast<ptrdiff_t>(cut.tokens));
  const auto more = encode(encoder, rest);
  tokens.insert(tokens.end(), more.begin(), more.end());
  return tokens;
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
  auto encoder = makeEncoder({16, 2});
  CHECK((encode(encoder, {"<turn>", {}, false}) == std::vector<uint32_t>{16, 10, 2}));
  CHECK((encode(encoder, {"<turn>", {}, true}) == std::vector<uint32_t>{16, 10}));
  CHECK((encode(encoder, {"<s><turn>", {}, true}) == std::vector<uint32_t>{16, 10}));
  CHECK((encode(encoder, {"<s><turn>", {}, false}) == std::vector<uint32_t>{16, 16, 10, 2}));
  CHECK((encode(encoder, {"", {}, true}) == std::vector<uint32_t>{16}));
  // The rest of a text has no front.
  CHECK((encode(encoder, {"<s><turn>", {}, true, Before::special}) == std::vector<uint32_t>{16, 10}));
  CHECK((encode(encoder, {"<turn>", {}, false, Before::plain}) == std::vector<uint32_t>{10, 2}));
}

TEST(prompts_go_on_behind_each_cut_whatever_follows) {
  size_t cuts = 0;
  for (const bool isChat : {true, false}) {
    auto encoder = makeEncoder({16, 2});
    Rng rng(isChat ? 1 : 2);
    for (int conversation = 0; conversation < 60; conversation++) {
      std::string text = rng.below(2) == 0 ? "<s>" : "";
      Content content;
      for (int turn = 0; turn < 3; turn++) grow(text, content, rng);
      const Prompt prompt{text, content, isChat};
      const auto known = encoder.encode(prompt);
      size_t before = 0;
      for (const auto& cut : known.cuts) {
        CHECK(cut.end >= before + PromptEncoder::kLeastChunk && cut.end <= text.size());
        before = cut.end;
        CHECK(continued(encoder, known, cut, prompt) == known.tokens);
        // Another ending behind what the cut looked at, and other content there.
        auto other = text.substr(0, cut.end + cut.ahead);
        Content marked;
        for (size_t at = 0; at < content.size() && content[at] < other.size(); at += 2) {
          marked.push_back(content[at]);
          marked.push_back(std::min(content[at + 1], static_cast<uint32_t>(other.size())));
        }
        grow(other, marked, rng);
        const Prompt changed{other, marked, isChat};
        CHECK(continued(encoder, known, cut, changed) == encode(encoder, changed));
        cuts++;
      }
    }
  }
  CHECK(cuts > 500);
}

TEST(prompts_are_cut_often) {
  auto encoder = makeEncoder();
  std::string text;
  Content content;
  Rng rng(3);
  while (text.size() < 20000) grow(text, content, rng);
  const auto known = encoder.encode({text, content, true});
  CHECK(known.cuts.size() > 20000 / PromptEncoder::kLeastChunk / 3);
  CHECK(known.cuts.back().end > text.size() - 3000);
}

TEST(prompts_are_encoded_on_many_threads) {
  auto encoder = makeEncoder();
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (size_t each = 0; each < wrong.size(); each++) {
    threads.emplace_back([&, each] {
      Rng rng(each % 2);
      std::string text;
      Content content;
      auto own = makeEncoder();
      for (int turn = 0; turn < 20; turn++) {
        grow(text, content, rng);
        const Prompt prompt{text, content, true};
        wrong[each] += encode(encoder, prompt) == encode(own, prompt) ? 0 : 1;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const int each : wrong) CHECK(each == 0);
}
