// Against the rule as the library has it, on characters that stand for bytes, with vocabularies of every oddness.
#include "text/encoders/byte_pair.h"

#include <map>
#include <set>
#include <string>
#include <vector>

#include "check.h"
#include "engine/failure.h"
#include "naive_pairs.h"
#include "small_vocabulary.h"
#include "text/encoders/byte_characters.h"
#include "text/words/words.h"

namespace {

using stator::test::Rng;
using stator::test::SmallVocabulary;
using stator::text::ByteCharacters;
using stator::text::findWordRule;
using stator::text::Kind;
using stator::text::makeBytePairEncoder;
using stator::text::WordRule;
using Tokens = std::vector<uint32_t>;

struct Model {
  std::map<std::string, uint32_t> tokens;
  stator::test::NaiveRanks ranks;

  Model(const stator::text::Vocabulary& vocabulary) : ranks(stator::test::readRanks(vocabulary)) {
    for (uint32_t id = 0; id < vocabulary.texts.size; id++) {
      const auto text = vocabulary.texts[id];
      tokens.emplace(text.empty() ? "[EMPTY_" + std::to_string(id) + "]" : text, id);
    }
  }

  void encodeWord(std::string_view word, bool ignoreMerges, Tokens& out) const {
    const ByteCharacters characters;
    std::vector<std::string> symbols;
    std::string whole;
    for (const char byte : word) symbols.emplace_back(characters[static_cast<uint8_t>(byte)]);
    for (const auto& each : symbols) whole += each;
    if (ignoreMerges && tokens.contains(whole)) symbols = {whole};
    stator::test::mergeNaively(ranks, symbols);
    for (const auto& symbol : symbols) append(symbol, out);
  }

  void append(const std::string& symbol, Tokens& out) const {
    if (const auto found = tokens.find(symbol); found != tokens.end()) return out.push_back(found->second);
    for (const char raw : symbol) {
      if (const auto found = tokens.find(std::string(1, raw)); found != tokens.end()) out.push_back(found->second);
    }
  }
};

Tokens encodePlainly(const Model& model, const WordRule& rule, std::string_view text) {
  std::vector<uint32_t> ends;
  rule.cut(text, ends);
  Tokens out;
  size_t begin = 0;
  for (const uint32_t end : ends) {
    model.encodeWord(text.substr(begin, end - begin), rule.ignoreMerges, out);
    begin = end;
  }
  return out;
}

const std::string kBytes = " ab\xC3\xA9\xE4\xBD\xA0\n\x01";

std::string randomText(Rng& rng, size_t most) {
  std::string out;
  const size_t size = 1 + rng.below(most);
  while (out.size() < size) {
    const char* parts[] = {" ", "a", "b", "ab", "\xC3\xA9", "\xE4\xBD\xA0", "\n", "  ", "\x01"};
    out += parts[rng.below(std::size(parts))];
  }
  return out;
}

std::string randomPiece(Rng& rng, const ByteCharacters& characters) {
  if (rng.below(30) == 0) return rng.below(2) == 0 ? "\xC4" : "\xE4\xBD\xA0";
  std::string out;
  for (size_t i = 0, size = 1 + rng.below(3); i < size; i++) {
    out += characters[static_cast<uint8_t>(kBytes[rng.below(kBytes.size())])];
  }
  return out;
}

SmallVocabulary randomVocabulary(Rng& rng) {
  const ByteCharacters characters;
  SmallVocabulary vocabulary;
  std::set<std::string> seen;
  const auto add = [&](const std::string& text) {
    if (seen.insert(text).second) vocabulary.add(text);
  };
  for (const char byte : kBytes) {
    if (rng.below(5) > 0) add(std::string(characters[static_cast<uint8_t>(byte)]));
  }
  std::vector<std::string> made;
  const auto piece = [&] {
    return made.empty() || rng.below(3) == 0 ? randomPiece(rng, characters) : made[rng.below(made.size())];
  };
  for (size_t i = 0, count = rng.below(60); i < count; i++) {
    const auto left = piece(), right = piece();
    const char* spaces[] = {" ", " ", " ", " ", " ", "", "  "};
    vocabulary.merges.add(left + spaces[rng.below(std::size(spaces))] + right);
    made.push_back(left + right);
    if (rng.below(4) > 0) add(left + right);
    if (rng.below(10) == 0) add(piece());
    if (rng.below(20) == 0) add("");
  }
  vocabulary.merges.add(" ");
  vocabulary.merges.add("");
  return vocabulary;
}

}  // namespace

TEST(byteCharactersAreThoseOfTheField) {
  const ByteCharacters characters;
  CHECK(characters['a'] == "a" && characters[' '] == "\xC4\xA0" && characters['\n'] == "\xC4\x8A");
  CHECK(characters[0xAD] == "\xC5\x83" && characters[0xFF] == "\xC3\xBF");
  for (int byte = 0; byte < 256; byte++) {
    std::string out;
    CHECK(characters.decode(characters[static_cast<uint8_t>(byte)], out));
    CHECK(out == std::string(1, static_cast<char>(byte)));
  }
  for (const char* foreign : {" ", "\n", "\xC2\xAD", "\xC5\x84", "\xC4", "\xE4\xBD\xA0", "\xC0\xA0", "\x80"}) {
    std::string out;
    CHECK(!characters.decode(foreign, out));
  }
}

TEST(bytePairEncodesAsTheRuleSays) {
  Rng rng(1);
  for (int round = 0; round < 400; round++) {
    const auto owned = randomVocabulary(rng);
    const char* pre = round % 2 == 0 ? "gpt-2" : "llama-bpe";
    const auto vocabulary = owned.of(Kind::bytePair, pre);
    const Model model(vocabulary);
    const auto encoder = makeBytePairEncoder(vocabulary);
    const auto lane = encoder->lane(round % 3 == 0 ? 0 : 1 << 14);
    for (int i = 0; i < 10; i++) {
      const auto text = randomText(rng, i == 0 ? 400 : 20);
      Tokens out;
      lane->encode(text, true, out);
      CHECK(out == encodePlainly(model, *findWordRule(pre), text));
    }
  }
}

TEST(bytePairMaySplitWhereItSays) {
  Rng rng(2);
  const auto owned = randomVocabulary(rng);
  const auto encoder = makeBytePairEncoder(owned.of(Kind::bytePair, "gpt-2"));
  const auto lane = encoder->lane(1 << 14);
  const auto encode = [&](std::string_view text, Tokens out = {}) {
    lane->encode(text, true, out);
    return out;
  };
  for (int i = 0; i < 2000; i++) {
    const auto text = randomText(rng, 20);
    const size_t at = 1 + rng.below(text.size());
    if (at == text.size() || (text[at] & 0xC0) == 0x80 || !encoder->maySplit(text, at)) continue;
    CHECK(encode(text) == encode(std::string_view(text).substr(at), encode(std::string_view(text).substr(0, at))));
  }
}

TEST(bytePairTakesAnyBytesAndLongTexts) {
  Rng rng(3);
  const auto owned = randomVocabulary(rng);
  const auto encoder = makeBytePairEncoder(owned.of(Kind::bytePair, "gpt-2"));
  const auto lane = encoder->lane(1 << 14);
  Tokens out;
  for (int i = 0; i < 300; i++) {
    std::string bytes(rng.below(200), '\0');
    for (char& each : bytes) each = static_cast<char>(rng.next());
    lane->encode(bytes, true, out);
  }
  std::string text;
  while (text.size() < 100000) text += randomText(rng, 30);
  Tokens whole;
  lane->encode(text, true, whole);
  CHECK(whole == encodePlainly(Model(owned.of(Kind::bytePair, "gpt-2")), *findWordRule("gpt-2"), text));
  lane->encode(std::string(200000, 'a'), true, out);
  CHECK(lane->memoryBytes() < 1 << 18);
  lane->encode("", true, out);
}

TEST(bytePairRefusesAnUnknownRule) {
  const SmallVocabulary vocabulary;
  try {
    makeBytePairEncoder(vocabulary.of(Kind::bytePair, "no-such-rule"));
    CHECK(false);
  } catch (const stator::Failure& failure) {
    CHECK(failure.code == stator::Code::unsupported);
  }
}
