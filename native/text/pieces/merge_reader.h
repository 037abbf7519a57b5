#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/pieces/merge_table.h"
#include "text/pieces/piece_table.h"
#include "text/vocabulary.h"

namespace stator::text {

/// The text of a token as the library has it: an empty one reads `[EMPTY_<id>]`.
std::string_view textOf(const Vocabulary& vocabulary, uint32_t id, std::string& room);

/// Numbers the texts of a vocabulary as encoders use them: token `id` has the number `id`. `decode(text, out)` appends
/// the form in which text is encoded; it returns false for what no text holds, and such a token has a number without a
/// text.
template <typename Decode>
PieceTable readPieces(const Vocabulary& vocabulary, Decode decode) {
  PieceTable pieces(vocabulary.texts.size);
  std::string room, text;
  for (uint32_t id = 0; id < vocabulary.texts.size; id++) {
    text.clear();
    const bool whole = decode(textOf(vocabulary, id, room), text);
    if (!whole || pieces.add(text) != id) pieces.skip();
  }
  return pieces;
}

/// Reads the merges. Pieces that are no tokens get numbers behind them, so a merge whose text is no token still
/// happens. What no text holds is left out, and so is a merge without a space between two texts. `see(rank, merge,
/// left, right)` sees the others and their texts.
template <typename Decode, typename See>
MergeTable readMerges(const Vocabulary& vocabulary, PieceTable& pieces, Decode decode, See see) {
  std::vector<Merge> merges;
  merges.reserve(vocabulary.merges.size);
  std::string text;
  for (size_t i = 0; i < vocabulary.merges.size; i++) {
    const auto merge = vocabulary.merges[i];
    const size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos) continue;
    text.clear();
    if (!decode(merge.substr(0, space), text)) continue;
    const size_t cut = text.size();
    if (!decode(merge.substr(space + 1), text) || cut == text.size()) continue;
    const std::string_view whole = text, left = whole.substr(0, cut), right = whole.substr(cut);
    merges.push_back({pieces.add(left), pieces.add(right), pieces.add(whole)});
    see(static_cast<uint32_t>(merges.size() - 1), merges.back(), left, right);
  }
  return MergeTable(std::move(merges));
}

}  // namespace stator::text
