#include "text/pieces/closed_characters.h"

#include <algorithm>
#include <vector>

namespace stator::text {
namespace {

constexpr size_t kMostBytes = 4;

bool continues(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

void lower(std::vector<uint32_t>& ranks, uint32_t symbol, uint32_t rank) {
  if (symbol >= ranks.size()) ranks.resize(std::max<size_t>(symbol + 1, ranks.size() * 2), kNone);
  ranks[symbol] = std::min(ranks[symbol], rank);
}

uint32_t rankIn(const std::vector<uint32_t>& ranks, uint32_t symbol) {
  return symbol < ranks.size() ? ranks[symbol] : kNone;
}

struct Row {
  std::array<uint32_t, kMostBytes> symbols;
  size_t size;
};

/// Merges a row to its end; false if it does not end as one symbol, or if at some step a neighbour may come first.
bool closes(Row row, const MergeTable& merges, const OutsideRanks& outside) {
  while (row.size > 1) {
    uint32_t rank = kNone;
    size_t place = 0;
    for (size_t i = 0; i + 1 < row.size; i++) {
      const uint32_t each = merges.rank(row.symbols[i], row.symbols[i + 1]);
      if (each >= rank) continue;
      rank = each;
      place = i;
    }
    if (rank == kNone || outside.of(row.symbols[0], row.symbols[row.size - 1]) <= rank) return false;
    row.symbols[place] = merges[rank].merged;
    std::copy(row.symbols.begin() + place + 2, row.symbols.begin() + row.size, row.symbols.begin() + place + 1);
    row.size--;
  }
  return true;
}

}  // namespace

void OutsideRanks::see(uint32_t rank, const Merge& merge, std::string_view left, std::string_view right) {
  // A row is a part of one character, so longer symbols are never asked for; and a character ends where one begins.
  if (!continues(left.back()) || continues(right.front())) return;
  if (left.size() < kMostBytes) lower(asLeft_, merge.left, rank);
  if (right.size() < kMostBytes) lower(asRight_, merge.right, rank);
}

uint32_t OutsideRanks::of(uint32_t first, uint32_t last) const {
  return std::min(rankIn(asRight_, first), rankIn(asLeft_, last));
}

CharacterTable findClosedCharacters(const PieceTable& pieces, const MergeTable& merges, const OutsideRanks& outside,
                                    const std::array<uint32_t, 256>& symbolOfByte) {
  CharacterTable closed;
  for (uint32_t number = 0; number < pieces.size(); number++) {
    const auto text = pieces[number];
    if (text.size() < 2 || text.size() > kMostBytes || readCharacter(text).size != text.size()) continue;
    Row row{{}, text.size()};
    for (size_t i = 0; i < text.size(); i++) row.symbols[i] = symbolOfByte[static_cast<uint8_t>(text[i])];
    if (closes(row, merges, outside)) closed.add(text, number);
  }
  return closed;
}

}  // namespace stator::text
