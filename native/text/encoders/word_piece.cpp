#include "text/encoders/word_piece.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "engine/failure.h"
#include "text/encoders/space_mark.h"
#include "text/encoders/word_lane.h"
#include "text/pieces/merge_reader.h"
#include "text/pieces/piece_trie.h"
#include "text/words/unicode.h"

namespace stator::text {
namespace {

/// Longer pieces are left to others: their length bounds what each byte of a text can cost.
constexpr size_t kMostPieceBytes = 256;

/// What a character does to a word.
enum class Part : uint8_t {
  joins,    ///< is part of it
  nothing,  ///< is left out
  ends,     ///< ends it
  alone,    ///< ends it and is one itself
};

struct Step {
  Part part;
  uint32_t codePoint;
};

/// The ranges that the models' own code has for Chinese characters; one begins later than Unicode's.
bool isChinese(uint32_t codePoint) {
  constexpr std::pair<uint32_t, uint32_t> ranges[] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},
                                                      {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F},
                                                      {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}};
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [&](const auto& range) { return codePoint >= range.first && codePoint <= range.second; });
}

/// Writes texts as words.
class WordForm {
 public:
  explicit WordForm(const Vocabulary& vocabulary)
      : lowercase_(vocabulary.lowercase), stripAccents_(vocabulary.stripAccents) {
    for (uint32_t byte = 0; byte < narrow_.size(); byte++) narrow_[byte] = find(byte);
  }

  Step stepOf(uint32_t codePoint) const { return codePoint < narrow_.size() ? narrow_[codePoint] : find(codePoint); }

  /// Writes the words of a text over `out`, a space in front of each.
  void write(std::string_view text, std::string& out) const {
    out.clear();
    bool inWord = false;
    for (size_t at = 0; at < text.size();) {
      const auto [codePoint, size] = decode(text, at);
      const Step step = stepOf(codePoint);
      at += size;
      if (step.part == Part::nothing) continue;
      if (step.part == Part::ends) {
        inWord = false;
        continue;
      }
      if (!inWord || step.part == Part::alone) out.push_back(' ');
      append(step.codePoint, out);
      inWord = step.part == Part::joins;
    }
  }

 private:
  Step find(uint32_t codePoint) const {
    if (stripAccents_) codePoint = decompositionStart(codePoint);
    const uint8_t kind = classOf(codePoint);
    if (kind == kSpace) return {Part::ends, codePoint};
    if (codePoint == 0 || codePoint == kReplacement || kind == kControl) return {Part::nothing, codePoint};
    if (stripAccents_ && kind == kMark) return {Part::nothing, codePoint};
    const bool alone = kind == kPunctuation || (codePoint < 0x7F && kind == kSymbol) || isChinese(codePoint);
    return {alone ? Part::alone : Part::joins, lowercase_ ? lowercaseOf(codePoint) : codePoint};
  }

  static void append(uint32_t codePoint, std::string& out) {
    const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
    if (codePoint < 0x80) return put(codePoint);
    if (codePoint < 0x800) {
      put(0xC0 | codePoint >> 6);
    } else {
      if (codePoint < 0x10000) {
        put(0xE0 | codePoint >> 12);
      } else {
        put(0xF0 | codePoint >> 18);
        put(0x80 | (codePoint >> 12 & 0x3F));
      }
      put(0x80 | (codePoint >> 6 & 0x3F));
    }
    put(0x80 | (codePoint & 0x3F));
  }

  const bool lowercase_;
  const bool stripAccents_;
  /// Of characters of one byte.
  std::array<Step, 0x80> narrow_;
};

PieceTrie readTrie(const Vocabulary& vocabulary) {
  const PieceTable texts = readPieces(vocabulary, [](std::string_view text, std::string& out) {
    out.append(text);
    return true;
  });
  std::vector<std::pair<std::string_view, uint32_t>> pieces;
  pieces.reserve(vocabulary.texts.size);
  for (uint32_t id = 0; id < vocabulary.texts.size; id++) {
    if (texts[id].size() > kMostPieceBytes) {
      throw Failure(Code::unsupported, "The text of token " + std::to_string(id) + " is too long.");
    }
    if (!texts[id].empty()) pieces.emplace_back(texts[id], id);
  }
  return PieceTrie(std::move(pieces));
}

/// What all lanes of a vocabulary share.
struct Tables {
  explicit Tables(const Vocabulary& vocabulary)
      : unknown(static_cast<uint32_t>(vocabulary.unknown)), form(vocabulary), pieces(readTrie(vocabulary)) {
    require(vocabulary.unknown >= 0 && unknown < vocabulary.texts.size, "The vocabulary has no unknown token.");
  }

  uint32_t unknown;
  WordForm form;
  PieceTrie pieces;
};

class WordPieceLane final : public WordLane {
 public:
  WordPieceLane(const Tables& tables, size_t memoryBytes) : WordLane(memoryBytes), tables_(tables) {}

  void encode(std::string_view text, bool fresh, std::vector<uint32_t>& out) override {
    tables_.form.write(text, words_);
    WordLane::encode(words_, fresh, out);
    if (words_.capacity() > kKept) std::string().swap(words_);
  }

  size_t memoryBytes() const override { return WordLane::memoryBytes() + words_.capacity() + word_.capacity(); }

 protected:
  void cut(std::string_view text, std::vector<uint32_t>& ends) override {
    for (size_t at = text.find(' ', 1); at != std::string_view::npos; at = text.find(' ', at + 1)) {
      ends.push_back(static_cast<uint32_t>(at));
    }
    ends.push_back(static_cast<uint32_t>(text.size()));
  }

  bool maySplit(std::string_view text, size_t at) const override { return text[at] == ' '; }

  void trim() override {
    if (word_.capacity() > kKept) std::string().swap(word_);
  }

  void encodeWord(std::string_view word, std::vector<uint32_t>& out) override {
    word_.assign(kSpaceMark);
    word_.append(word.substr(1));
    const size_t first = out.size();
    for (size_t at = 0; at < word_.size();) {
      const auto [bytes, token] = tables_.pieces.longest(word_, at);
      if (bytes == 0) {
        out.resize(first);
        return out.push_back(tables_.unknown);
      }
      out.push_back(token);
      at += bytes;
    }
  }

 private:
  static constexpr size_t kKept = 1 << 16;
  const Tables& tables_;
  /// The words of a text, and the one that is looked at, with a mark in front.
  std::string words_, word_;
};

class WordPieceEncoder final : public PlainEncoder {
 public:
  explicit WordPieceEncoder(const Vocabulary& vocabulary) : tables_(vocabulary) {}

  std::unique_ptr<Lane> lane(size_t memoryBytes) const override {
    return std::make_unique<WordPieceLane>(tables_, memoryBytes);
  }

  bool maySplit(std::string_view text, size_t at) const override {
    const auto before = static_cast<uint8_t>(text[at - 1]);
    return parts(decode(text, at).codePoint) || (before < 0x80 && parts(before));
  }

  size_t memoryBytes() const override { return sizeof *this + tables_.pieces.memoryBytes(); }

 private:
  bool parts(uint32_t codePoint) const {
    const Part part = tables_.form.stepOf(codePoint).part;
    return part == Part::ends || part == Part::alone;
  }

  const Tables tables_;
};

}  // namespace

std::unique_ptr<PlainEncoder> makeWordPieceEncoder(const Vocabulary& vocabulary) {
  return std::make_unique<WordPieceEncoder>(vocabulary);
}

}  // namespace stator::text
