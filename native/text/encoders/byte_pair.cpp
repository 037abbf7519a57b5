#include "text/encoders/byte_pair.h"

#include <array>
#include <optional>
#include <string>

#include "engine/failure.h"
#include "text/encoders/byte_characters.h"
#include "text/encoders/word_lane.h"
#include "text/pieces/character_table.h"
#include "text/pieces/closed_characters.h"
#include "text/pieces/merge_reader.h"
#include "text/pieces/merger.h"
#include "text/words/words.h"

namespace stator::text {
namespace {

/// What all lanes of a vocabulary share.
struct Tables {
  Tables(const Vocabulary& vocabulary, const WordRule& rule);

  const WordRule& rule;
  /// Symbols below it are tokens of the same number.
  uint32_t tokens;
  std::array<uint32_t, 256> symbolOfByte;
  /// Tokens of texts of one byte; those above 0x7F are no UTF-8, but a file may hold them.
  std::array<uint32_t, 256> tokenOfRawByte;
  ByteCharacters characters;
  MergeTable merges;
  CharacterTable closed;
  /// Kept where a word is looked up as a whole.
  std::optional<PieceTable> pieces;
};

Tables::Tables(const Vocabulary& vocabulary, const WordRule& rule)
    : rule(rule), tokens(static_cast<uint32_t>(vocabulary.texts.size)) {
  const auto decode = [&](std::string_view text, std::string& out) { return characters.decode(text, out); };
  PieceTable table = readPieces(vocabulary, decode);
  for (int byte = 0; byte < 256; byte++) {
    const auto character = static_cast<char>(byte);
    symbolOfByte[byte] = table.add({&character, 1});
  }
  tokenOfRawByte.fill(kNone);
  for (uint32_t id = 0; id < tokens; id++) {
    if (const auto text = vocabulary.texts[id]; text.size() == 1) tokenOfRawByte[static_cast<uint8_t>(text[0])] = id;
  }
  OutsideRanks outside;
  const auto see = [&](uint32_t rank, const Merge& merge, std::string_view left, std::string_view right) {
    outside.see(rank, merge, left, right);
  };
  merges = readMerges(vocabulary, table, decode, see);
  closed = findClosedCharacters(table, merges, outside, symbolOfByte);
  if (rule.ignoreMerges) pieces = std::move(table);
}

class BytePairLane final : public WordLane {
 public:
  BytePairLane(const Tables& tables, size_t memoryBytes) : WordLane(memoryBytes), tables_(tables) {}
  size_t memoryBytes() const override { return WordLane::memoryBytes() + merger_.memoryBytes(); }

 protected:
  void cut(std::string_view text, std::vector<uint32_t>& ends) override { tables_.rule.cut(text, ends); }
  bool maySplit(std::string_view text, size_t at) const override { return tables_.rule.maySplit(text, at); }
  void trim() override { merger_.trim(); }

  void encodeWord(std::string_view word, std::vector<uint32_t>& out) override {
    if (tables_.pieces) {
      const uint32_t symbol = tables_.pieces->find(word);
      if (symbol < tables_.tokens) return out.push_back(symbol);
    }
    merger_.begin(word.size());
    for (size_t at = 0; at < word.size();) at += addSymbol(word, at);
    merger_.merge(tables_.merges);
    merger_.visit([&](uint32_t symbol, size_t begin, size_t end) {
      if (symbol < tables_.tokens) return out.push_back(symbol);
      appendBytes(word.substr(begin, end - begin), out);
    });
  }

 private:
  /// Adds the symbol of the closed character or else of the byte at a place. Returns its bytes.
  size_t addSymbol(std::string_view word, size_t at) {
    const auto byte = static_cast<uint8_t>(word[at]);
    if (byte >= 0x80 && (at == 0 || static_cast<uint8_t>(word[at - 1]) >= 0x80)) {
      const auto [point, size] = readCharacter(word.substr(at));
      if (const uint32_t symbol = tables_.closed[point]; symbol != kNone) {
        merger_.add(symbol, size);
        return size;
      }
    }
    merger_.add(tables_.symbolOfByte[byte], 1);
    return 1;
  }

  /// What has no token falls to the bytes of its characters, each if it has a token for itself.
  void appendBytes(std::string_view text, std::vector<uint32_t>& out) const {
    for (const char byte : text) {
      for (const char raw : tables_.characters[static_cast<uint8_t>(byte)]) {
        const uint32_t token = tables_.tokenOfRawByte[static_cast<uint8_t>(raw)];
        if (token != kNone) out.push_back(token);
      }
    }
  }

  const Tables& tables_;
  Merger merger_;
};

class BytePairEncoder final : public PlainEncoder {
 public:
  BytePairEncoder(const Vocabulary& vocabulary, const WordRule& rule) : tables_(vocabulary, rule) {}
  std::unique_ptr<Lane> lane(size_t memoryBytes) const override {
    return std::make_unique<BytePairLane>(tables_, memoryBytes);
  }
  bool maySplit(std::string_view text, size_t at) const override { return tables_.rule.maySplit(text, at); }
  size_t memoryBytes() const override {
    return sizeof *this + tables_.merges.memoryBytes() + tables_.closed.memoryBytes() +
           (tables_.pieces ? tables_.pieces->memoryBytes() : 0);
  }

 private:
  Tables tables_;
};

}  // namespace

std::unique_ptr<PlainEncoder> makeBytePairEncoder(const Vocabulary& vocabulary) {
  const WordRule* rule = findWordRule(vocabulary.pre);
  if (rule == nullptr) {
    throw Failure(Code::unsupported, "The word rule " + std::string(vocabulary.pre.substr(0, 60)) + " is not known.");
  }
  return std::make_unique<BytePairEncoder>(vocabulary, *rule);
}

}  // namespace stator::text
