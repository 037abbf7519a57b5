#include "text/encoders/score_merge.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <string>
#include <utility>

#include "engine/failure.h"
#include "text/encoders/space_mark.h"
#include "text/encoders/word_lane.h"
#include "text/pieces/merge_reader.h"
#include "text/pieces/merger.h"
#include "text/pieces/neighbours.h"

namespace stator::text {
namespace {

/// Longer pieces are left to others: the time to find their merges grows with the square of it.
constexpr size_t kMostPieceBytes = 256;

/// What all lanes of a vocabulary share.
struct Tables {
  size_t memoryBytes() const {
    return sizeof *this + characters.memoryBytes() + merges.memoryBytes() + neighbours.memoryBytes();
  }

  bool addSpacePrefix = false;
  /// Symbols below it are tokens of the same number; the others are characters that are only part of tokens.
  uint32_t tokens = 0;
  std::array<uint32_t, 256> tokenOfByte{};
  CharacterTable characters;
  MergeTable merges;
  Neighbours neighbours;
};

/// Finds out which tokens merges reach, and by which pairs. Shorter ones come first: a part of a token that no merge
/// reaches is a part in no text either.
class TableBuilder {
 public:
  explicit TableBuilder(const Vocabulary& vocabulary)
      : vocabulary_(vocabulary), pieces_(readPieces(vocabulary, unmarkPiece)), reached_(vocabulary.texts.size) {}

  Tables build() {
    tables_.addSpacePrefix = vocabulary_.addSpacePrefix;
    tables_.tokens = static_cast<uint32_t>(vocabulary_.texts.size);
    checkScores();
    readBytes();
    for (const uint32_t id : byLength()) readPiece(id);
    for (uint32_t number = 0; number < pieces_.size(); number++) tables_.characters.add(pieces_[number], number);
    ranks();
    return std::move(tables_);
  }

 private:
  struct Scored {
    Merge merge;
    float score;
  };

  float scoreOf(uint32_t id) const { return vocabulary_.scores == nullptr ? 0 : vocabulary_.scores[id]; }

  void checkScores() const {
    for (uint32_t id = 0; id < tables_.tokens; id++) {
      if (std::isnan(scoreOf(id))) {
        throw Failure(Code::invalidArgument, "The score of token " + std::to_string(id) + " is not a number.");
      }
    }
  }

  void readBytes() {
    tables_.tokenOfByte.fill(kNone);
    for (uint32_t id = 0; id < tables_.tokens; id++) {
      const auto text = vocabulary_.texts[id];
      if (text.size() == 1) tables_.tokenOfByte[static_cast<uint8_t>(text[0])] = id;
    }
    for (int byte = 0; byte < 256; byte++) {
      uint32_t& token = tables_.tokenOfByte[byte];
      const std::string name = byteName(static_cast<uint8_t>(byte));
      if (const uint32_t named = pieces_.find(name); named != kNone) token = named;
      require(token != kNone, "The vocabulary has no token " + name + ".");
    }
  }

  std::vector<uint32_t> byLength() const {
    std::vector<uint32_t> ids(tables_.tokens);
    std::vector<uint32_t> begins(kMostPieceBytes + 2);
    for (uint32_t id = 0; id < ids.size(); id++) {
      const size_t size = pieces_[id].size();
      if (size > kMostPieceBytes) {
        throw Failure(Code::unsupported, "The text of token " + std::to_string(id) + " is too long.");
      }
      begins[size + 1]++;
    }
    for (size_t size = 1; size < begins.size(); size++) begins[size] += begins[size - 1];
    for (uint32_t id = 0; id < ids.size(); id++) ids[begins[pieces_[id].size()]++] = id;
    return ids;
  }

  /// Notes where the characters of a piece begin, and its end; false where it is none.
  bool readStarts(std::string_view piece) {
    starts_.clear();
    for (size_t at = 0; at < piece.size();) {
      const auto [point, size] = readCharacter(piece.substr(at));
      if (point == kNone) return false;
      starts_.push_back(at);
      at += size;
    }
    starts_.push_back(piece.size());
    return starts_.size() > 1;
  }

  /// The symbol of a part of a piece that is one character or a token that merges reach; kNone for others.
  uint32_t symbolOf(std::string_view part, bool single) {
    if (single) return pieces_.add(part);
    const uint32_t number = pieces_.find(part);
    return number < reached_.size() && reached_[number] ? number : kNone;
  }

  void readPiece(uint32_t id) {
    const std::string piece(pieces_[id]);
    if (!readStarts(piece)) return;
    const std::string_view whole = piece;
    const size_t characters = starts_.size() - 1;
    for (size_t i = 1; i < characters; i++) {
      const uint32_t left = symbolOf(whole.substr(0, starts_[i]), i == 1);
      if (left == kNone) continue;
      const uint32_t right = symbolOf(whole.substr(starts_[i]), i + 1 == characters);
      if (right == kNone) continue;
      found_.push_back({{left, right, id}, scoreOf(id)});
      reached_[id] = true;
    }
    if (reached_[id]) tables_.neighbours.add(whole);
  }

  void ranks() {
    std::sort(found_.begin(), found_.end(), [](const Scored& a, const Scored& b) { return a.score > b.score; });
    std::vector<Merge> merges;
    std::vector<uint32_t> ranks;
    for (size_t i = 0; i < found_.size(); i++) {
      const bool next = i > 0 && found_[i].score != found_[i - 1].score;
      ranks.push_back(i == 0 ? 0 : ranks.back() + (next ? 1 : 0));
      merges.push_back(found_[i].merge);
    }
    tables_.merges = MergeTable(std::move(merges), std::move(ranks));
  }

  const Vocabulary& vocabulary_;
  PieceTable pieces_;
  std::vector<bool> reached_;
  std::vector<size_t> starts_;
  std::vector<Scored> found_;
  Tables tables_;
};

class ScoreMergeLane final : public WordLane {
 public:
  ScoreMergeLane(const Tables& tables, size_t memoryBytes) : WordLane(memoryBytes), tables_(tables) {}

  void encode(std::string_view text, bool fresh, std::vector<uint32_t>& out) override {
    const bool prefix = fresh && tables_.addSpacePrefix && !text.empty();
    if (!prefix && text.find(kSpaceMark) == std::string_view::npos) return WordLane::encode(text, fresh, out);
    std::string plain(prefix ? " " : "");
    unmark(text, plain);
    WordLane::encode(plain, fresh, out);
  }

  size_t memoryBytes() const override { return WordLane::memoryBytes() + merger_.memoryBytes(); }

 protected:
  void cut(std::string_view text, std::vector<uint32_t>& ends) override { tables_.neighbours.cut(text, ends); }
  bool maySplit(std::string_view text, size_t at) const override { return tables_.neighbours.partsAt(text, at); }

  void trim() override { merger_.trim(); }

  void encodeWord(std::string_view word, std::vector<uint32_t>& out) override {
    merger_.mergeCharacters(word, tables_.characters, tables_.merges);
    merger_.visit([&](uint32_t symbol, size_t begin, size_t end) {
      if (symbol < tables_.tokens) return out.push_back(symbol);
      appendBytes(word.substr(begin, end - begin), out);
    });
  }

 private:
  void appendBytes(std::string_view text, std::vector<uint32_t>& out) const {
    const auto bytes = text == " " ? kSpaceMark : text;
    for (const char byte : bytes) out.push_back(tables_.tokenOfByte[static_cast<uint8_t>(byte)]);
  }

  const Tables& tables_;
  Merger merger_;
};

class ScoreMergeEncoder final : public PlainEncoder {
 public:
  explicit ScoreMergeEncoder(const Vocabulary& vocabulary) : tables_(TableBuilder(vocabulary).build()) {}

  std::unique_ptr<Lane> lane(size_t memoryBytes) const override {
    return std::make_unique<ScoreMergeLane>(tables_, memoryBytes);
  }
  bool maySplit(std::string_view text, size_t at) const override {
    // Marks count as spaces in text; they are rare, and not looked into here.
    if (text.substr(0, at).ends_with(kSpaceMark) || text.substr(at).starts_with(kSpaceMark)) return false;
    return tables_.neighbours.partsAt(text, at);
  }
  size_t memoryBytes() const override { return tables_.memoryBytes(); }

 private:
  const Tables tables_;
};

}  // namespace

std::unique_ptr<PlainEncoder> makeScoreMergeEncoder(const Vocabulary& vocabulary) {
  return std::make_unique<ScoreMergeEncoder>(vocabulary);
}

}  // namespace stator::text
