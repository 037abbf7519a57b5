#include "text/encoders/word_piece.h"

#include <cctype>
#include <map>
#include <string>
#include <vector>

#include "check.h"
#include "engine/failure.h"
#include "plain_checks.h"
#include "small_vocabulary.h"

namespace {

using stator::test::checkReads;
using stator::test::checkSplits;
using stator::test::encode;
using stator::test::randomBytes;
using stator::test::Tokens;
using stator::text::Kind;
using stator::text::Vocabulary;

const std::string kMark = "\u2581";

struct Pieces : stator::test::SmallVocabulary {
  explicit Pieces(const std::vector<std::string>& texts) {
    piece("[UNK]", 2);
    for (const auto& text : texts) piece(text);
  }
  void piece(const std::string& text, int32_t type = 1) {
    if (text.empty() || !ids.emplace(text, static_cast<uint32_t>(types.size())).second) return;
    add(text, type);
  }
  Vocabulary vocabulary() const {
    Vocabulary made = of(Kind::wordPiece);
    made.unknown = 0;
    return made;
  }

  std::map<std::string, uint32_t> ids;
};

/// One word by the rule as it is told.
void naiveWord(const Pieces& pieces, const std::string& word, Tokens& out) {
  const std::string marked = kMark + word;
  const size_t first = out.size();
  for (size_t at = 0; at < marked.size();) {
    size_t end = marked.size();
    while (end > at && !pieces.ids.contains(marked.substr(at, end - at))) end--;
    if (end == at) {
      out.resize(first);
      return out.push_back(0);
    }
    out.push_back(pieces.ids.at(marked.substr(at, end - at)));
    at = end;
  }
}

/// Of text in which only letters below 0x80, spaces, newlines and `,` are.
Tokens naive(const Pieces& pieces, const std::string& text) {
  Tokens out;
  std::string word;
  const auto end = [&] {
    if (!word.empty()) naiveWord(pieces, word, out);
    word.clear();
  };
  for (const char byte : text) {
    if (byte == ' ' || byte == '\n' || byte == ',') {
      end();
      if (byte == ',') naiveWord(pieces, ",", out);
    } else {
      word += static_cast<char>(std::tolower(byte));
    }
  }
  end();
  return out;
}

std::string randomText(stator::test::Rng& rng, size_t most) {
  static const char letters[] = "abAB  \n,";
  std::string text;
  for (size_t left = rng.below(most); left > 0; left--) text += letters[rng.below(sizeof letters - 1)];
  return text;
}

Pieces randomPieces(stator::test::Rng& rng) {
  Pieces pieces({kMark + ","});
  for (size_t left = rng.below(30); left > 0; left--) {
    std::string text = rng.below(2) == 0 ? kMark : "";
    for (size_t size = rng.below(4); size > 0; size--) text += static_cast<char>('a' + rng.below(2));
    pieces.piece(text);
  }
  return pieces;
}

}  // namespace

TEST(word_piece_takes_the_longest_piece_and_gives_up_whole_words) {
  const Pieces pieces({kMark + "ab", kMark + "a", "b", "bc", kMark + "d"});
  const auto encoder = makeWordPieceEncoder(pieces.vocabulary());
  CHECK(encode(*encoder, "ab abc d") == (Tokens{1, 0, 5}));
  CHECK(encode(*encoder, "abb") == (Tokens{1, 3}));
  CHECK(encode(*encoder, " \n").empty());
}

TEST(word_piece_normalizes_words) {
  const Pieces pieces({kMark + "cafe", kMark + "caf\u00E9", kMark + "CAF\u00C9", kMark + "\u4E16",
                       kMark + "\u754C", kMark + "!"});
  Vocabulary file = pieces.vocabulary();
  const auto tokensOf = [&](const char* text) { return encode(*makeWordPieceEncoder(file), text); };
  CHECK(tokensOf("CAF\u00C9!") == (Tokens{1, 6}));
  CHECK(tokensOf("Cafe\u0301") == Tokens{1});
  CHECK(tokensOf("ca\u200Bf\u00AD\u0001e") == Tokens{1});
  CHECK(tokensOf("\u4E16\u754C") == (Tokens{4, 5}));
  CHECK(tokensOf("cafe\u3000\u4E16") == (Tokens{1, 4}));
  file.stripAccents = false;
  CHECK(tokensOf("CAF\u00C9") == Tokens{2});
  file.lowercase = false;
  CHECK(tokensOf("CAF\u00C9") == Tokens{3});
}

TEST(word_piece_is_the_rule_on_any_vocabulary_and_text) {
  stator::test::Rng rng(1);
  for (int round = 0; round < 300; round++) {
    const Pieces pieces = randomPieces(rng);
    const auto encoder = makeWordPieceEncoder(pieces.vocabulary());
    const auto lane = encoder->lane(rng.below(2) << 14);
    for (int each = 0; each < 20; each++) {
      const std::string text = randomText(rng, each == 0 ? 300 : 40);
      Tokens out;
      lane->encode(text, true, out);
      CHECK(out == naive(pieces, text));
    }
  }
}

TEST(word_piece_splits_where_it_says_so) {
  stator::test::Rng rng(2);
  size_t splits = 0;
  for (int round = 0; round < 200; round++) {
    const auto encoder = makeWordPieceEncoder(randomPieces(rng).vocabulary());
    const std::string text = randomText(rng, 40);
    splits += checkSplits(*encoder, text);
  }
  CHECK(splits > 100);
}

TEST(word_piece_reads_any_bytes) {
  stator::test::Rng rng(3);
  for (int round = 0; round < 100; round++) {
    Pieces pieces = randomPieces(rng);
    for (int each = 0; each < 20; each++) pieces.piece(randomBytes(rng, 1 + rng.below(4)));
    const auto encoder = makeWordPieceEncoder(pieces.vocabulary());
    for (int each = 0; each < 20; each++) checkReads(*encoder, randomBytes(rng, rng.below(80)), pieces.types.size());
  }
}

TEST(word_piece_refuses_what_cannot_be) {
  const auto refused = [](const Vocabulary& vocabulary, stator::Code code) {
    try {
      makeWordPieceEncoder(vocabulary);
    } catch (const stator::Failure& failure) {
      return failure.code == code;
    }
    return false;
  };
  const Pieces pieces({"a"}), wide({std::string(300, 'a')});
  Vocabulary file = pieces.vocabulary();
  file.unknown = -1;
  CHECK(refused(file, stator::Code::invalidArgument));
  CHECK(refused(wide.vocabulary(), stator::Code::unsupported));
}
