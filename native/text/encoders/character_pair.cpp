// Texts are kept with plain spaces: U+2581 of a vocabulary and of a text is read as a space, so a space of a
// vocabulary's own is one that no text holds.
#include "text/encoders/character_pair.h"

#include <array>
#include <bitset>
#include <optional>
#include <string>
#include <unordered_map>

#include "text/encoders/space_mark.h"
#include "text/encoders/word_lane.h"
#include "text/pieces/character_table.h"
#include "text/pieces/merge_reader.h"
#include "text/pieces/merger.h"

namespace stator::text {
namespace {

size_t pairOf(char before, char after) {
  return static_cast<size_t>(static_cast<uint8_t>(before)) << 8 | static_cast<uint8_t>(after);
}

/// What all lanes of a vocabulary share.
struct Tables {
  explicit Tables(const Vocabulary& vocabulary);
  /// Whether no character, no merge and no line reaches over the place between two bytes of a text without marks.
  bool parts(char before, char after) const {
    if (before == '\n' || after == '\n') return before != after;
    return !reaches[pairOf(before, after)];
  }
  size_t memoryBytes() const;

  /// Symbols below it are tokens of the same number.
  uint32_t tokens;
  CharacterTable characters;
  MergeTable merges;
  std::array<uint32_t, 256> tokenOfByte;
  /// Tokens of nothing but newlines, by their number: a run of them is its token, whatever the merges say.
  std::unordered_map<size_t, uint32_t> tokenOfNewlines;
  /// The last byte of a piece and the first of one that it merges with, for every merge; and all first bytes that begin
  /// no character. Between other bytes a word ends.
  std::bitset<1 << 16> reaches;
};

Tables::Tables(const Vocabulary& vocabulary) : tokens(static_cast<uint32_t>(vocabulary.texts.size)) {
  PieceTable pieces = readPieces(vocabulary, unmarkPiece);
  for (size_t pair = 0; pair < reaches.size(); pair++) reaches[pair] = (pair & 0xC0) == 0x80;
  const auto see = [&](uint32_t, const Merge&, std::string_view left, std::string_view right) {
    reaches.set(pairOf(left.back(), right.front()));
  };
  merges = readMerges(vocabulary, pieces, unmarkPiece, see);
  for (uint32_t number = 0; number < pieces.size(); number++) characters.add(pieces[number], number);
  for (int byte = 0; byte < 256; byte++) {
    const uint32_t token = pieces.find(byteName(static_cast<uint8_t>(byte)));
    tokenOfByte[byte] = token < tokens ? token : kNone;
  }
  if (vocabulary.pre == "sarvam-moe") return;
  for (uint32_t id = 0; id < tokens; id++) {
    const auto text = pieces[id];
    if (!text.empty() && text.find_first_not_of('\n') == std::string_view::npos) tokenOfNewlines[text.size()] = id;
  }
}

size_t Tables::memoryBytes() const {
  constexpr size_t kNode = 32;
  return sizeof *this + characters.memoryBytes() + merges.memoryBytes() + tokenOfNewlines.size() * kNode;
}

class CharacterPairLane final : public WordLane {
 public:
  CharacterPairLane(const Tables& tables, size_t memoryBytes) : WordLane(memoryBytes), tables_(tables) {}

  void encode(std::string_view text, bool fresh, std::vector<uint32_t>& out) override {
    if (text.find(kSpaceMark) == std::string_view::npos) return WordLane::encode(text, fresh, out);
    std::string plain;
    unmark(text, plain);
    WordLane::encode(plain, fresh, out);
  }

  size_t memoryBytes() const override { return WordLane::memoryBytes() + merger_.memoryBytes(); }

 protected:
  void cut(std::string_view text, std::vector<uint32_t>& ends) override {
    for (size_t at = 1; at < text.size(); at++) {
      if (tables_.parts(text[at - 1], text[at])) ends.push_back(static_cast<uint32_t>(at));
    }
    ends.push_back(static_cast<uint32_t>(text.size()));
  }

  bool maySplit(std::string_view text, size_t at) const override { return tables_.parts(text[at - 1], text[at]); }

  void trim() override { merger_.trim(); }

  void encodeWord(std::string_view word, std::vector<uint32_t>& out) override {
    if (word.front() == '\n') {
      const auto found = tables_.tokenOfNewlines.find(word.size());
      if (found != tables_.tokenOfNewlines.end()) return out.push_back(found->second);
    }
    merger_.mergeCharacters(word, tables_.characters, tables_.merges);
    merger_.visit([&](uint32_t symbol, size_t begin, size_t end) {
      if (symbol < tables_.tokens) return out.push_back(symbol);
      appendBytes(word.substr(begin, end - begin), out);
    });
  }

 private:
  void appendByte(char byte, std::vector<uint32_t>& out) const {
    const uint32_t token = tables_.tokenOfByte[static_cast<uint8_t>(byte)];
    if (token != kNone) out.push_back(token);
  }

  /// What has no token falls to its bytes, each if it has a token; a space to those of its mark.
  void appendBytes(std::string_view text, std::vector<uint32_t>& out) const {
    for (const char byte : text) {
      for (const char each : byte == ' ' ? kSpaceMark : std::string_view(&byte, 1)) appendByte(each, out);
    }
  }

  const Tables& tables_;
  Merger merger_;
};

class CharacterPairEncoder final : public PlainEncoder {
 public:
  explicit CharacterPairEncoder(const Vocabulary& vocabulary) : tables_(vocabulary) {}
  std::unique_ptr<Lane> lane(size_t memoryBytes) const override {
    return std::make_unique<CharacterPairLane>(tables_, memoryBytes);
  }

  bool maySplit(std::string_view text, size_t at) const override {
    const auto after = text.substr(at).starts_with(kSpaceMark) ? ' ' : text[at];
    const auto before = text.substr(0, at).ends_with(kSpaceMark) ? ' ' : text[at - 1];
    return tables_.parts(before, after);
  }

  size_t memoryBytes() const override { return tables_.memoryBytes(); }

 private:
  Tables tables_;
};

}  // namespace

bool mergesCharacters(std::string_view pre) {
  return pre == "gemma4" || pre == "granite-embed-multi-311m" || pre == "sarvam-moe";
}

std::unique_ptr<PlainEncoder> makeCharacterPairEncoder(const Vocabulary& vocabulary) {
  return std::make_unique<CharacterPairEncoder>(vocabulary);
}

}  // namespace stator::text
