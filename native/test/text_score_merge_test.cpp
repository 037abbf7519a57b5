#include "text/encoders/score_merge.h"

#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "engine/failure.h"
#include "plain_checks.h"
#include "small_vocabulary.h"

namespace {

using stator::test::checkReads;
using stator::test::checkSplits;
using stator::test::encode;
using stator::test::Tokens;
using stator::text::Kind;
using stator::text::Vocabulary;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
const std::string kMark = "\u2581";

/// A vocabulary with a token per byte first.
struct Scored : stator::test::SmallVocabulary {
  Scored() {
    add("<unk>", 2, 0);
    for (int byte = 0; byte < 256; byte++) {
      char name[8];
      std::snprintf(name, sizeof name, "<0x%02X>", byte);
      add(name, 6, 0);
    }
  }
  void add(const std::string& text, int32_t type, float score) {
    SmallVocabulary::add(text, type);
    scores.push_back(score);
    if (!ids.contains(text)) ids[text] = static_cast<uint32_t>(types.size() - 1);
  }
  void piece(const std::string& text, float score) {
    if (!ids.contains(text)) add(text, 1, score);
  }
  Vocabulary vocabulary(bool addSpacePrefix) const {
    Vocabulary made = of(Kind::scoreMerge);
    made.scores = scores.data();
    made.addSpacePrefix = addSpacePrefix;
    return made;
  }

  std::vector<float> scores;
  std::map<std::string, uint32_t> ids;
};

/// The rule as it is told: the best of all pairs, again and again.
Tokens naive(const Scored& vocabulary, const std::string& text, bool prefix) {
  std::vector<std::string> parts;
  if (prefix && !text.empty()) parts.push_back(kMark);
  for (size_t at = 0; at < text.size();) {
    size_t end = at + 1;
    while (end < text.size() && (text[end] & 0xC0) == 0x80) end++;
    parts.push_back(text[at] == ' ' ? kMark : text.substr(at, end - at));
    at = end;
  }
  for (;;) {
    size_t best = parts.size();
    float score = 0;
    for (size_t i = 0; i + 1 < parts.size(); i++) {
      const auto found = vocabulary.ids.find(parts[i] + parts[i + 1]);
      if (found == vocabulary.ids.end()) continue;
      if (best < parts.size() && !(vocabulary.scores[found->second] > score)) continue;
      best = i;
      score = vocabulary.scores[found->second];
    }
    if (best == parts.size()) break;
    parts[best] += parts[best + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  Tokens out;
  for (const auto& part : parts) {
    const auto found = vocabulary.ids.find(part);
    if (found != vocabulary.ids.end()) {
      out.push_back(found->second);
    } else {
      for (const char byte : part) out.push_back(1 + static_cast<uint8_t>(byte));
    }
  }
  return out;
}

std::string randomText(stator::test::Rng& rng, size_t most) {
  static const std::vector<std::string> letters = {"a",   "b",      "c",      " ",          " ",
                                                   kMark, "\u00E9", "\u4E16", "\U0001F642", "\n"};
  std::string text;
  const size_t used = 2 + rng.below(letters.size() - 1);
  for (size_t left = rng.below(most); left > 0; left--) text += letters[rng.below(used)];
  return text;
}

std::string markedOf(std::string text) {
  for (size_t at = text.find(' '); at != std::string::npos; at = text.find(' ')) text.replace(at, 1, kMark);
  return text;
}

Scored randomVocabulary(stator::test::Rng& rng) {
  static const float scores[] = {0, -0.0f, -1, -1, -2, 3.5f, -1e9f, kInfinity, -kInfinity};
  Scored vocabulary;
  for (size_t left = rng.below(60); left > 0; left--) {
    std::string text = randomText(rng, 5);
    if (rng.below(8) != 0) text = markedOf(text);
    if (!text.empty()) vocabulary.piece(text, scores[rng.below(std::size(scores))]);
  }
  return vocabulary;
}

template <typename Body>
bool throws(stator::Code code, Body body) {
  try {
    body();
  } catch (const stator::Failure& failure) {
    return failure.code == code;
  }
  return false;
}

}  // namespace

TEST(score_merge_joins_the_highest_score_first_and_of_equal_ones_the_leftmost) {
  Scored vocabulary;
  for (const char* each : {"a", "b"}) vocabulary.piece(each, -9);
  vocabulary.piece("ab", -1);
  vocabulary.piece("ba", -1);
  vocabulary.piece("aba", -3);
  const auto encoder = makeScoreMergeEncoder(vocabulary.vocabulary(false));
  const auto id = [&](const char* text) { return vocabulary.ids.at(text); };
  CHECK(encode(*encoder, "aba", true) == Tokens{id("aba")});
  CHECK(encode(*encoder, "bab", true) == (Tokens{id("ba"), id("b")}));
  CHECK(encode(*encoder, "abab", true) == (Tokens{id("ab"), id("ab")}));
}

TEST(score_merge_puts_a_space_in_front_of_fresh_text_alone) {
  Scored vocabulary;
  vocabulary.piece(kMark, -9);
  vocabulary.piece("a", -9);
  vocabulary.piece(kMark + "a", -1);
  const auto encoder = makeScoreMergeEncoder(vocabulary.vocabulary(true));
  CHECK(encode(*encoder, "a", true) == Tokens{vocabulary.ids.at(kMark + "a")});
  CHECK(encode(*encoder, "a", false) == Tokens{vocabulary.ids.at("a")});
  CHECK(encode(*encoder, "", true).empty());
}

TEST(score_merge_is_the_rule_on_any_vocabulary_and_text) {
  stator::test::Rng rng(1);
  for (int round = 0; round < 400; round++) {
    const Scored vocabulary = randomVocabulary(rng);
    const bool prefix = rng.below(2) == 0;
    const auto encoder = makeScoreMergeEncoder(vocabulary.vocabulary(prefix));
    const auto lane = encoder->lane(rng.below(2) << 14);
    for (int each = 0; each < 20; each++) {
      const std::string text = randomText(rng, each == 0 ? 300 : 40);
      Tokens out;
      lane->encode(text, true, out);
      CHECK(out == naive(vocabulary, text, prefix));
    }
  }
}

TEST(score_merge_splits_where_it_says_so) {
  stator::test::Rng rng(2);
  size_t splits = 0;
  for (int round = 0; round < 300; round++) {
    const auto encoder = makeScoreMergeEncoder(randomVocabulary(rng).vocabulary(rng.below(2) == 0));
    const std::string text = randomText(rng, 30);
    splits += checkSplits(*encoder, text);
  }
  CHECK(splits > 100);
}

TEST(score_merge_reads_any_bytes) {
  stator::test::Rng rng(3);
  for (int round = 0; round < 100; round++) {
    Scored vocabulary = randomVocabulary(rng);
    const auto bytes = [&] { return stator::test::randomBytes(rng, rng.below(80)); };
    for (int each = 0; each < 20; each++) {
      if (const std::string text = bytes(); !text.empty()) vocabulary.piece(text.substr(0, 1 + rng.below(4)), -1);
    }
    const auto encoder = makeScoreMergeEncoder(vocabulary.vocabulary(true));
    for (int each = 0; each < 20; each++) checkReads(*encoder, bytes(), vocabulary.types.size());
  }
}

TEST(score_merge_takes_long_runs) {
  Scored vocabulary;
  for (size_t size = 1; size <= 16; size *= 2) vocabulary.piece(std::string(size, 'a'), -static_cast<float>(size));
  const auto encoder = makeScoreMergeEncoder(vocabulary.vocabulary(false));
  CHECK(encode(*encoder, std::string(200'000, 'a'), true).size() == 200'000 / 16);
}

TEST(score_merge_refuses_what_cannot_be) {
  Scored vocabulary;
  vocabulary.piece("ab", std::nanf(""));
  CHECK(throws(stator::Code::invalidArgument, [&] { makeScoreMergeEncoder(vocabulary.vocabulary(true)); }));
  stator::test::SmallVocabulary bare;
  bare.add("a");
  CHECK(throws(stator::Code::invalidArgument, [&] { makeScoreMergeEncoder(bare.of(Kind::scoreMerge)); }));
  Scored wide;
  wide.piece(std::string(300, 'a'), -1);
  CHECK(throws(stator::Code::unsupported, [&] { makeScoreMergeEncoder(wide.vocabulary(true)); }));
}
