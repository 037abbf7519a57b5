#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace stator::text {

/// How a vocabulary turns plain text into tokens; the names of the field, with those of GGUF files behind them.
enum class Kind {
  bytePair,    ///< `gpt2`: words by a rule, bytes as characters, merges by rank
  gemmaPair,   ///< `gemma4`: merges by rank over characters, spaces as U+2581, bytes for what has no token
  scoreMerge,  ///< `llama` (SPM): merges by score over characters, bytes for what has no token
  wordPiece,   ///< `bert`: normalized words, the longest piece first
  unigram,     ///< `t5`: the most probable cut into pieces
};

/// Strings of a file, borrowed: string i is the bytes from starts[i] to before ends[i], which are not below it.
struct Strings {
  const uint8_t* bytes = nullptr;
  const uint32_t* starts = nullptr;
  const uint32_t* ends = nullptr;
  size_t size = 0;

  std::string_view operator[](size_t at) const {
    return {reinterpret_cast<const char*>(bytes) + starts[at], ends[at] - starts[at]};
  }
};

/// A vocabulary as lib/text/vocabulary.ts read and checked it: no text twice, ids below `texts.size`. Everything is
/// borrowed; what an encoder keeps of it, it copies.
struct Vocabulary {
  Kind kind = Kind::bytePair;
  /// Name of the rule that cuts text into words; empty where the file has none.
  std::string_view pre;
  /// Of all tokens, in the form of the file, cut at a NUL; an empty one reads `[EMPTY_<id>]`.
  Strings texts;
  /// One per token: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
  const int32_t* types = nullptr;
  /// One per token, or null where the file has none: all are 0 then.
  const float* scores = nullptr;
  /// `left right` each, first ranks first; none where the kind has no merges. Repeated ones: the first counts.
  Strings merges;
  /// Id of the unknown token, as the library assumes it where the file names none; negative for none.
  int32_t unknown = -1;
  /// scoreMerge, unigram: a space goes in front of text that begins, or follows a special token.
  bool addSpacePrefix = false;
  /// unigram: runs of spaces are one, none at the ends.
  bool removeExtraSpaces = false;
  /// wordPiece: text is lowercased, accents are taken off.
  bool lowercase = true;
  bool stripAccents = true;
  /// unigram: the precompiled character map of the file; empty for none.
  std::string_view characterMap;
};

}  // namespace stator::text
