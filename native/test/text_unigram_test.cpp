#include "text/encoders/unigram.h"

#include <cfloat>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "check.h"
#include "engine/failure.h"
#include "plain_checks.h"
#include "small_map.h"
#include "small_vocabulary.h"

namespace {

using stator::test::SmallMap;
using stator::test::checkReads;
using stator::test::checkSplits;
using stator::test::encode;
using stator::test::Tokens;
using stator::text::Kind;
using stator::text::Vocabulary;

const std::string kMark = "\u2581";

struct Scored : stator::test::SmallVocabulary {
  Scored() { add("<unk>", 2, 0); }
  void add(const std::string& text, int32_t type, float score) {
    SmallVocabulary::add(text, type);
    scores.push_back(score);
    ids[text] = static_cast<uint32_t>(types.size() - 1);
  }
  void piece(const std::string& text, float score, int32_t type = 1) {
    if (!ids.contains(text)) add(text, type, score);
  }
  Vocabulary vocabulary() const {
    Vocabulary made = of(Kind::unigram);
    made.scores = scores.data();
    made.unknown = 0;
    made.characterMap = map;
    return made;
  }

  std::vector<float> scores;
  std::map<std::string, uint32_t> ids;
  std::string map;
};

/// The best cut of a normal form, by every piece at every place.
Tokens naive(const Scored& vocabulary, const std::string& normal) {
  float worst = FLT_MAX;
  for (size_t id = 0; id < vocabulary.types.size(); id++) {
    if (vocabulary.types[id] == 1) worst = std::min(worst, vocabulary.scores[id]);
  }
  std::vector<double> sums(normal.size() + 1, -DBL_MAX);
  std::vector<std::pair<uint32_t, size_t>> ways(normal.size() + 1);
  sums[0] = 0;
  for (size_t at = 0, next = 0; at < normal.size(); at = next) {
    next = at + 1;
    while (next < normal.size() && (normal[next] & 0xC0) == 0x80) next++;
    const auto challenge = [&](size_t end, uint32_t token, double score) {
      if (sums[at] + score <= sums[end]) return;
      sums[end] = sums[at] + score;
      ways[end] = {token, at};
    };
    bool known = false;
    for (size_t end = at + 1; end <= normal.size(); end++) {
      const auto found = vocabulary.ids.find(normal.substr(at, end - at));
      if (found == vocabulary.ids.end() || found->second == 0) continue;
      challenge(end, found->second, vocabulary.types[found->second] == 4 ? 0 : vocabulary.scores[found->second]);
      known = known || end == next;
    }
    if (!known) challenge(next, 0, worst - 10.0f);
  }
  Tokens out;
  for (size_t at = normal.size(); at > 0; at = ways[at].second) {
    if (ways[at].first != 0 || out.empty() || out.front() != 0) out.insert(out.begin(), ways[at].first);
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

/// Scores with few bits, whose sums are exact, or such that no sum of them is.
float randomScore(stator::test::Rng& rng, bool exact) {
  if (exact) return -static_cast<float>(rng.below(40)) / 4;
  static const float scores[] = {1e-30f, -3.3e-9f, -1, -7.1f, 12, -1e20f};
  return scores[rng.below(std::size(scores))];
}

Scored randomVocabulary(stator::test::Rng& rng) {
  Scored vocabulary;
  const bool exact = rng.below(3) != 0;
  for (size_t left = rng.below(60); left > 0; left--) {
    const std::string text = markedOf(randomText(rng, 5));
    if (!text.empty()) vocabulary.piece(text, randomScore(rng, exact), rng.below(9) == 0 ? 5 : 1);
  }
  return vocabulary;
}

bool refused(const Vocabulary& vocabulary) {
  try {
    makeUnigramEncoder(vocabulary);
  } catch (const stator::Failure& failure) {
    return failure.code == stator::Code::invalidArgument;
  }
  return false;
}

}  // namespace

TEST(unigram_takes_the_best_sum_and_of_equal_ones_the_first) {
  Scored vocabulary;
  for (const char* each : {"a", "b"}) vocabulary.piece(each, -2);
  vocabulary.piece("ab", -3);
  vocabulary.piece("ba", -3);
  const auto encoder = makeUnigramEncoder(vocabulary.vocabulary());
  const auto id = [&](const char* text) { return vocabulary.ids.at(text); };
  CHECK(encode(*encoder, "ab", true) == Tokens{id("ab")});
  CHECK(encode(*encoder, "aba", true) == (Tokens{id("a"), id("ba")}));
  CHECK(encode(*encoder, "axxyb", true) == (Tokens{id("a"), 0, id("b")}));
}

TEST(unigram_is_the_rule_on_any_vocabulary_and_text) {
  stator::test::Rng rng(1);
  for (int round = 0; round < 400; round++) {
    const Scored vocabulary = randomVocabulary(rng);
    const auto encoder = makeUnigramEncoder(vocabulary.vocabulary());
    const auto lane = encoder->lane(rng.below(2) << 14);
    for (int each = 0; each < 20; each++) {
      const std::string text = randomText(rng, each == 0 ? 300 : 40);
      Tokens out;
      lane->encode(text, true, out);
      CHECK(out == naive(vocabulary, markedOf(text)));
    }
  }
}

TEST(unigram_puts_spaces_where_the_file_says_so) {
  Scored vocabulary;
  for (const auto& each : {kMark, std::string("a"), kMark + "a"}) vocabulary.piece(each, -1);
  const uint32_t mark = 1, a = 2, marked = 3;
  Vocabulary file = vocabulary.vocabulary();
  const auto tokensOf = [&](const char* text, bool fresh = true) {
    return encode(*makeUnigramEncoder(file), text, fresh);
  };
  CHECK(tokensOf(" a  a ") == (Tokens{marked, mark, marked, mark}));
  file.addSpacePrefix = true;
  CHECK(tokensOf("a a") == (Tokens{marked, marked}));
  CHECK(tokensOf(" a") == (Tokens{mark, marked}));
  CHECK(tokensOf("a", false) == Tokens{a});
  CHECK(tokensOf("  ") == (Tokens{mark, mark}));
  file.removeExtraSpaces = true;
  CHECK(tokensOf("  a   a  ") == (Tokens{marked, marked}));
  CHECK(tokensOf("   ").empty());
  CHECK(tokensOf("  a", false) == Tokens{marked});
  CHECK(tokensOf("").empty());
}

TEST(unigram_splits_where_it_says_so) {
  stator::test::Rng rng(2);
  size_t splits = 0;
  for (int round = 0; round < 400; round++) {
    Scored vocabulary = randomVocabulary(rng);
    vocabulary.piece(kMark, -1);
    if (rng.below(3) == 0) vocabulary.piece("ab", -1, 4);
    Vocabulary file = vocabulary.vocabulary();
    const std::string map = SmallMap().add("c", "b").add("\n", " ").add("b\u00E9", "a").write();
    if (rng.below(2) == 0) file.characterMap = map;
    file.addSpacePrefix = rng.below(2) == 0;
    file.removeExtraSpaces = rng.below(2) == 0;
    const auto encoder = makeUnigramEncoder(file);
    const std::string text = randomText(rng, 30);
    splits += checkSplits(*encoder, text);
  }
  CHECK(splits > 100);
}

TEST(unigram_reads_any_bytes) {
  stator::test::Rng rng(3);
  for (int round = 0; round < 200; round++) {
    Scored vocabulary = randomVocabulary(rng);
    const auto bytes = [&] { return stator::test::randomBytes(rng, rng.below(80)); };
    for (int each = 0; each < 20; each++) {
      const std::string text = bytes();
      if (!text.empty()) vocabulary.piece(text.substr(0, 1 + rng.below(4)), -1, rng.below(2) == 0 ? 4 : 1);
    }
    const auto encoder = makeUnigramEncoder(vocabulary.vocabulary());
    for (int each = 0; each < 20; each++) checkReads(*encoder, bytes(), vocabulary.types.size());
  }
}

TEST(unigram_refuses_what_cannot_be) {
  Scored vocabulary;
  vocabulary.piece("a", -1);
  CHECK(!refused(vocabulary.vocabulary()));
  Vocabulary file = vocabulary.vocabulary();
  file.unknown = -1;
  CHECK(refused(file));
  for (const float score : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    Scored other = vocabulary;
    other.piece("b", score);
    CHECK(refused(other.vocabulary()));
  }
  Scored wide = vocabulary;
  wide.piece(std::string(300, 'a'), -1);
  CHECK(refused(wide.vocabulary()));
}
