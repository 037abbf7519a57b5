#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/pieces/character_table.h"
#include "text/pieces/merge_table.h"
#include "text/pieces/piece_table.h"

namespace stator::text {

/// The lowest ranks at which symbols merge with a neighbour in another character.
class OutsideRanks {
 public:
  /// Sees a merge and the texts of its two symbols. Merges are seen in the order of their ranks.
  void see(uint32_t rank, const Merge& merge, std::string_view left, std::string_view right);
  /// The lowest rank at which a row of symbols merges with what may stand around it; kNone for never.
  uint32_t of(uint32_t first, uint32_t last) const;

 private:
  std::vector<uint32_t> asLeft_, asRight_;
};

/// The closed characters: those of several bytes that merge to one symbol before any of their bytes merges with a
/// neighbour, whatever well-formed text follows, and whatever goes before but ASCII. Behind another character of
/// several bytes, and at the begin of a word, their symbols may stand in place of those of their bytes.
CharacterTable findClosedCharacters(const PieceTable& pieces, const MergeTable& merges, const OutsideRanks& outside,
                                    const std::array<uint32_t, 256>& symbolOfByte);

}  // namespace stator::text
