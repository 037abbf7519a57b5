#include "text/encoders/unigram.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <string>
#include <utility>

#include "engine/failure.h"
#include "text/encoders/normal_form.h"
#include "text/encoders/space_mark.h"
#include "text/encoders/word_lane.h"
#include "text/pieces/merge_reader.h"
#include "text/pieces/neighbours.h"
#include "text/pieces/piece_trie.h"

namespace stator::text {
namespace {

enum Type : int32_t { kNormal = 1, kUserDefined = 4, kUnused = 5 };

/// What is asked of an unknown character beyond the worst score.
constexpr float kUnknownPenalty = 10;

/// Longer pieces are refused: their length bounds what each byte of a text can cost.
constexpr size_t kMostPieceBytes = 256;

bool isPiece(int32_t type) { return type == kNormal || type == kUserDefined || type == kUnused; }

std::vector<std::pair<std::string_view, uint32_t>> piecesOf(const Vocabulary& vocabulary, const PieceTable& texts) {
  std::vector<std::pair<std::string_view, uint32_t>> found;
  found.reserve(vocabulary.texts.size);
  for (uint32_t id = 0; id < vocabulary.texts.size; id++) {
    if (!isPiece(vocabulary.types[id]) || texts[id].empty()) continue;
    require(texts[id].size() <= kMostPieceBytes, "The text of token " + std::to_string(id) + " is too long.");
    found.emplace_back(texts[id], id);
  }
  return found;
}

/// Sums of scores are exact as long as they stay below a bound: all scores are multiples of one power of two. Then
/// where no piece reaches across a border, what is left of it has no say in what is right of it.
class ExactSums {
 public:
  void add(float score, bool always) {
    if (score == 0) return;
    most_ = std::max(most_, std::fabs(static_cast<double>(score)));
    if (score > 0 || always) step_ = std::max(step_, std::fabs(static_cast<double>(score)));
    int exponent = 0;
    auto digits = static_cast<int64_t>(std::frexp(score, &exponent) * 0x1p24);
    for (exponent -= 24; (digits & 1) == 0; digits /= 2) exponent++;
    quantum_ = std::min(quantum_, exponent);
  }

  /// Whether all sums over a text of so many bytes are exact.
  bool upTo(size_t bytes) const { return static_cast<double>(bytes) * step_ + most_ <= std::ldexp(1, 53 + quantum_); }

 private:
  /// The greatest magnitude of a score.
  double most_ = 0;
  /// What a character adds to the magnitude of the best sum at most.
  double step_ = 0;
  int quantum_ = 127;
};

/// What all lanes of a vocabulary share.
struct Tables {
  explicit Tables(const Vocabulary& vocabulary) : Tables(vocabulary, readPieces(vocabulary, unmarkPiece)) {}
  size_t memoryBytes() const {
    return sizeof *this + scores.capacity() * sizeof(float) + normalForm.memoryBytes() + pieces.memoryBytes() +
           neighbours.memoryBytes();
  }

  uint32_t unknown;
  double unknownScore;
  /// Of each token.
  std::vector<float> scores;
  NormalForm normalForm;
  PieceTrie pieces;
  Neighbours neighbours;
  ExactSums exact;

 private:
  Tables(const Vocabulary& vocabulary, const PieceTable& texts);
  void readScores(const Vocabulary& vocabulary);
};

Tables::Tables(const Vocabulary& vocabulary, const PieceTable& texts)
    : unknown(static_cast<uint32_t>(vocabulary.unknown)), normalForm(vocabulary), pieces(piecesOf(vocabulary, texts)) {
  require(vocabulary.unknown >= 0 && unknown < vocabulary.texts.size, "The vocabulary has no unknown token.");
  readScores(vocabulary);
  for (uint32_t id = 0; id < scores.size(); id++) {
    const auto text = texts[id];
    if (!isPiece(vocabulary.types[id]) || text.empty()) continue;
    neighbours.add(text);
    exact.add(scores[id], readCharacter(text).size == text.size());
  }
  exact.add(static_cast<float>(unknownScore), true);
}

void Tables::readScores(const Vocabulary& vocabulary) {
  float worst = FLT_MAX;
  for (uint32_t id = 0; id < vocabulary.texts.size; id++) {
    const float score = vocabulary.scores == nullptr ? 0 : vocabulary.scores[id];
    require(std::isfinite(score), "The score of token " + std::to_string(id) + " is not finite.");
    if (vocabulary.types[id] == kNormal) worst = std::min(worst, score);
    scores.push_back(vocabulary.types[id] == kUserDefined ? 0 : score);
  }
  const float beyond = worst - kUnknownPenalty;
  unknownScore = beyond;
}

/// How many bytes a character takes by its first one.
size_t leadBytes(char first) {
  const auto byte = static_cast<uint8_t>(first);
  return byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

class UnigramLane final : public WordLane {
 public:
  UnigramLane(const Tables& tables, size_t memoryBytes) : WordLane(memoryBytes), tables_(tables) {}

  void encode(std::string_view text, bool fresh, std::vector<uint32_t>& out) override {
    const auto first = static_cast<std::ptrdiff_t>(out.size());
    const bool whole = tables_.normalForm.write(text, fresh, normal_);
    if (whole && tables_.exact.upTo(normal_.size())) {
      WordLane::encode(normal_, fresh, out);
    } else if (!normal_.empty()) {
      encodeWord(normal_, out);
    }
    // Unknown tokens in a row are one.
    const auto bothUnknown = [&](uint32_t a, uint32_t b) { return a == tables_.unknown && b == tables_.unknown; };
    out.erase(std::unique(out.begin() + first, out.end(), bothUnknown), out.end());
    if (normal_.capacity() > kKept) std::string().swap(normal_);
    trim();
  }

  size_t memoryBytes() const override {
    return WordLane::memoryBytes() + normal_.capacity() + sums_.capacity() * sizeof(double) +
           ends_.capacity() * sizeof(End);
  }

 protected:
  void cut(std::string_view text, std::vector<uint32_t>& ends) override { tables_.neighbours.cut(text, ends); }
  bool maySplit(std::string_view text, size_t at) const override { return tables_.neighbours.partsAt(text, at); }

  void trim() override {
    if (ends_.size() <= kKept) return;
    std::vector<End>().swap(ends_);
    std::vector<double>().swap(sums_);
  }

  void encodeWord(std::string_view word, std::vector<uint32_t>& out) override {
    if (sums_.size() <= word.size()) {
      sums_.resize(word.size() + 1);
      ends_.resize(word.size() + 1);
    }
    std::fill_n(sums_.begin(), word.size() + 1, -DBL_MAX);
    sums_[0] = 0;
    for (size_t at = 0; at < word.size();) {
      const size_t bytes = std::min(leadBytes(word[at]), word.size() - at);
      if (!tryPieces(word, at, bytes)) challenge(at, bytes, tables_.unknown, tables_.unknownScore);
      at += bytes;
    }
    const auto first = static_cast<std::ptrdiff_t>(out.size());
    for (size_t at = word.size(); at > 0; at -= ends_[at].bytes) out.push_back(ends_[at].token);
    std::reverse(out.begin() + first, out.end());
  }

 private:
  static constexpr size_t kKept = 1 << 16;

  /// The best way to an end: its last token, and the bytes of it.
  struct End {
    uint32_t token, bytes;
  };

  void challenge(size_t at, size_t bytes, uint32_t token, double score) {
    const double sum = sums_[at] + score;
    if (!(sum > sums_[at + bytes])) return;
    sums_[at + bytes] = sum;
    ends_[at + bytes] = {token, static_cast<uint32_t>(bytes)};
  }

  /// Tries all pieces that begin at `at`; whether one was the character there.
  bool tryPieces(std::string_view word, size_t at, size_t characterBytes) {
    bool known = false;
    uint32_t node = PieceTrie::kRoot;
    for (size_t end = at; end < word.size();) {
      node = tables_.pieces.child(node, word[end++]);
      if (node == kNone) break;
      const uint32_t token = tables_.pieces.tokenAt(node);
      if (token == kNone) continue;
      known = known || end - at == characterBytes;
      challenge(at, end - at, token, tables_.scores[token]);
    }
    return known;
  }

  const Tables& tables_;
  std::string normal_;
  /// Of every end in a word, the best sum of scores so far.
  std::vector<double> sums_;
  std::vector<End> ends_;
};

class UnigramEncoder final : public PlainEncoder {
 public:
  explicit UnigramEncoder(const Vocabulary& vocabulary) : tables_(vocabulary) {
    const auto [bytes, token] = tables_.pieces.longest(" ", 0);
    splits_ = tables_.exact.upTo(kMostSplitBytes) && bytes > 0 && token != tables_.unknown;
  }

  std::unique_ptr<Lane> lane(size_t memoryBytes) const override {
    return std::make_unique<UnigramLane>(tables_, memoryBytes);
  }

  bool maySplit(std::string_view text, size_t at) const override {
    const auto before = static_cast<uint8_t>(text[at - 1]);
    return splits_ && text[at] == ' ' && tables_.normalForm.splitsAfter(before) &&
           !tables_.neighbours.together(before, ' ');
  }

  size_t memoryBytes() const override { return tables_.memoryBytes(); }

 private:
  /// Texts are split where that is exact for texts of so many bytes; longer ones fit no model.
  static constexpr size_t kMostSplitBytes = 1 << 24;
  const Tables tables_;
  bool splits_ = false;
};

}  // namespace

std::unique_ptr<PlainEncoder> makeUnigramEncoder(const Vocabulary& vocabulary) {
  return std::make_unique<UnigramEncoder>(vocabulary);
}

}  // namespace stator::text
