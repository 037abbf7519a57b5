// Against the rule as the library has it, on text with marks for spaces, with vocabularies of every oddness.
#include "text/encoders/character_pair.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "check.h"
#include "naive_pairs.h"
#include "small_vocabulary.h"
#include "text/pieces/character_table.h"

namespace {

using stator::test::Rng;
using stator::test::SmallVocabulary;
using stator::text::CharacterTable;
using stator::text::Kind;
using stator::text::kNone;
using stator::text::makeCharacterPairEncoder;
using stator::text::readCharacter;
using Tokens = std::vector<uint32_t>;

const std::string kMark = "\xE2\x96\x81";
const char* const kCharacters[] = {
    " ", "a", "b", ">", "\xC3\xA9", "\xE4\xBD\xA0", "\n", "\xE2\x96\x81", "\xF0\x9F\x99\x82",
};

struct Model {
  std::map<std::string, uint32_t> tokens;
  stator::test::NaiveRanks ranks;
  bool wholeNewlines;

  Model(const stator::text::Vocabulary& vocabulary)
      : ranks(stator::test::readRanks(vocabulary)), wholeNewlines(vocabulary.pre != "sarvam-moe") {
    for (uint32_t id = 0; id < vocabulary.texts.size; id++) tokens.emplace(vocabulary.texts[id], id);
  }

  Tokens encode(std::string_view text) const {
    std::string marked;
    for (const char each : text) marked += each == ' ' ? kMark : std::string(1, each);
    Tokens out;
    for (size_t at = 0; at < marked.size();) {
      const size_t found = marked[at] == '\n' ? marked.find_first_not_of('\n', at) : marked.find('\n', at);
      const size_t end = std::min(marked.size(), found);
      encodeLine(marked.substr(at, end - at), out);
      at = end;
    }
    return out;
  }

  void encodeLine(const std::string& line, Tokens& out) const {
    if (wholeNewlines && line[0] == '\n' && tokens.contains(line)) return append(line, out);
    std::vector<std::string> symbols;
    for (size_t at = 0; at < line.size(); at += symbols.back().size()) {
      symbols.push_back(line.substr(at, readCharacter(std::string_view(line).substr(at)).size));
    }
    mergeAndAppend(symbols, out);
  }

  void mergeAndAppend(std::vector<std::string>& symbols, Tokens& out) const {
    stator::test::mergeNaively(ranks, symbols);
    for (const auto& symbol : symbols) append(symbol, out);
  }

  void append(const std::string& symbol, Tokens& out) const {
    if (const auto found = tokens.find(symbol); found != tokens.end()) return out.push_back(found->second);
    for (const char byte : symbol) {
      char name[7];
      std::snprintf(name, sizeof name, "<0x%02X>", static_cast<uint8_t>(byte));
      if (const auto found = tokens.find(name); found != tokens.end()) out.push_back(found->second);
    }
  }
};

std::string randomText(Rng& rng, size_t most) {
  std::string out;
  for (size_t i = 0, size = 1 + rng.below(most); i < size; i++) out += kCharacters[rng.below(std::size(kCharacters))];
  return out;
}

SmallVocabulary randomVocabulary(Rng& rng) {
  SmallVocabulary vocabulary;
  std::set<std::string> seen;
  const auto add = [&](const std::string& text) {
    if (seen.insert(text).second) vocabulary.add(text);
  };
  for (const char* each : kCharacters) {
    if (rng.below(4) > 0) add(each);
  }
  for (int byte = 0; byte < 256; byte++) {
    char name[7];
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    if (rng.below(8) > 0) add(name);
  }
  if (rng.below(2) == 0) add("\n\n\n");
  std::vector<std::string> made;
  const auto piece = [&]() -> std::string {
    return made.empty() || rng.below(3) == 0 ? kCharacters[1 + rng.below(std::size(kCharacters) - 1)]
                                             : made[rng.below(made.size())];
  };
  for (size_t i = 0, count = rng.below(50); i < count; i++) {
    const auto left = piece(), right = piece();
    vocabulary.merges.add(left + (rng.below(8) == 0 ? "  " : " ") + right);
    made.push_back(left + right);
    if (rng.below(4) > 0) add(left + right);
  }
  return vocabulary;
}

}  // namespace

TEST(charactersAreReadWellFormed) {
  CHECK(readCharacter("a").point == 'a' && readCharacter("\xC3\xA9").point == 0xE9);
  CHECK(readCharacter("\xF4\x8F\xBF\xBF").point == 0x10FFFF);
  const char* const malformed[] = {
      "\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF8\x88\x80\x80", "\x80", "\xC3", "\xC3z",
  };
  for (const char* each : malformed) CHECK(readCharacter(each).point == kNone);
  CharacterTable table;
  table.add("\xC3\xA9", 5);
  table.add("ab", 6);
  table.add("\xC0\x80", 7);
  CHECK(table[0xE9] == 5 && table[0xE8] == kNone && table['a'] == kNone && table[0] == kNone && table[kNone] == kNone);
}

TEST(characterPairEncodesAsTheRuleSays) {
  Rng rng(1);
  for (int round = 0; round < 400; round++) {
    const auto owned = randomVocabulary(rng);
    const auto vocabulary = owned.of(Kind::gemmaPair, round % 4 == 0 ? "sarvam-moe" : "");
    const Model model(vocabulary);
    const auto encoder = makeCharacterPairEncoder(vocabulary);
    const auto lane = encoder->lane(round % 3 == 0 ? 0 : 1 << 14);
    for (int i = 0; i < 10; i++) {
      const auto text = randomText(rng, i == 0 ? 300 : 15);
      Tokens out;
      lane->encode(text, true, out);
      CHECK(out == model.encode(text));
    }
  }
}

TEST(characterPairMaySplitWhereItSays) {
  Rng rng(2);
  size_t splits = 0;
  for (int round = 0; round < 50; round++) {
    const auto owned = randomVocabulary(rng);
    const auto encoder = makeCharacterPairEncoder(owned.of(Kind::gemmaPair));
    const auto lane = encoder->lane(1 << 14);
    for (int i = 0; i < 100; i++) {
      const auto text = randomText(rng, 15);
      const size_t at = 1 + rng.below(text.size());
      if (at == text.size() || (text[at] & 0xC0) == 0x80 || !encoder->maySplit(text, at)) continue;
      splits++;
      Tokens whole, parts;
      lane->encode(text, true, whole);
      lane->encode(std::string_view(text).substr(0, at), true, parts);
      lane->encode(std::string_view(text).substr(at), true, parts);
      CHECK(whole == parts);
    }
  }
  CHECK(splits > 500);
}

TEST(characterPairTakesAnyBytes) {
  Rng rng(3);
  const auto owned = randomVocabulary(rng);
  const auto encoder = makeCharacterPairEncoder(owned.of(Kind::gemmaPair));
  const auto lane = encoder->lane(1 << 14);
  Tokens out;
  for (int i = 0; i < 300; i++) {
    std::string bytes(rng.below(200), '\0');
    for (char& each : bytes) each = static_cast<char>(rng.next());
    lane->encode(bytes, true, out);
  }
  lane->encode(std::string(200000, '\n'), true, out);
  CHECK(lane->memoryBytes() < 1 << 18);
}
