#include "text/pieces/merger.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "text/pieces/merge_table.h"
#include "text/pieces/piece_table.h"

namespace {

using stator::test::Rng;
using stator::text::kNone;
using stator::text::Merge;
using stator::text::Merger;
using stator::text::MergeTable;
using stator::text::PieceTable;

/// Merges of random pieces over an alphabet; `letters` are the numbers 0, 1, and so on.
std::vector<Merge> randomMerges(Rng& rng, size_t letters, size_t count, PieceTable& pieces) {
  for (size_t i = 0; i < letters; i++) pieces.add(std::string(1, static_cast<char>('a' + i)));
  std::vector<Merge> merges;
  for (size_t i = 0; i < count; i++) {
    const auto left = static_cast<uint32_t>(rng.below(pieces.size()));
    const auto right = static_cast<uint32_t>(rng.below(pieces.size()));
    const auto text = std::string(pieces[left]) + std::string(pieces[right]);
    if (text.size() < 40) merges.push_back({left, right, pieces.add(text)});
  }
  // Ranks need not follow the order in which pieces can be made.
  for (size_t i = merges.size(); i > 1 && rng.below(2) == 0; i--) std::swap(merges[i - 1], merges[rng.below(i)]);
  return merges;
}

/// The rule itself, step by step.
std::vector<uint32_t> mergePlainly(std::vector<uint32_t> symbols, const std::vector<Merge>& merges) {
  std::map<std::pair<uint32_t, uint32_t>, size_t> ranks;
  for (size_t i = 0; i < merges.size(); i++) ranks.emplace(std::pair(merges[i].left, merges[i].right), i);
  for (;;) {
    size_t lowest = merges.size(), place = 0;
    for (size_t i = 0; i + 1 < symbols.size(); i++) {
      const auto found = ranks.find({symbols[i], symbols[i + 1]});
      if (found == ranks.end() || found->second >= lowest) continue;
      lowest = found->second;
      place = i;
    }
    if (lowest == merges.size()) return symbols;
    symbols[place] = merges[lowest].merged;
    symbols.erase(symbols.begin() + static_cast<long>(place) + 1);
  }
}

std::vector<uint32_t> mergeWith(Merger& merger, const MergeTable& table, const std::vector<uint32_t>& symbols) {
  const auto bytesOf = [](size_t at) { return at % 3 + 1; };
  size_t bytes = 0, covered = 0;
  for (size_t i = 0; i < symbols.size(); i++) bytes += bytesOf(i);
  merger.begin(bytes);
  for (size_t i = 0; i < symbols.size(); i++) merger.add(symbols[i], bytesOf(i));
  merger.merge(table);
  std::vector<uint32_t> out;
  merger.visit([&](uint32_t symbol, size_t begin, size_t end) {
    CHECK(begin == covered && end > begin);
    covered = end;
    out.push_back(symbol);
  });
  CHECK(covered == bytes);
  return out;
}

}  // namespace

TEST(pieceTableNumbersTexts) {
  Rng rng(1);
  PieceTable pieces(4);
  std::map<std::string, uint32_t> expected;
  for (int i = 0; i < 3000; i++) {
    std::string text(rng.below(40), 'x');
    for (char& each : text) each = static_cast<char>(rng.below(2) == 0 ? 0 : rng.below(256));
    const auto known = expected.find(text);
    CHECK(pieces.find(text) == (known == expected.end() ? kNone : known->second));
    const auto number = static_cast<uint32_t>(pieces.size());
    CHECK(pieces.add(text) == (known == expected.end() ? number : known->second));
    expected.emplace(text, number);
    if (rng.below(10) == 0) pieces.skip();
  }
  for (const auto& [text, number] : expected) CHECK(pieces[number] == text && pieces.find(text) == number);
}

TEST(mergeTableFindsRanks) {
  Rng rng(2);
  for (const size_t count : {0, 1, 15, 16, 1000, 20000}) {
    std::vector<Merge> merges;
    std::map<std::pair<uint32_t, uint32_t>, uint32_t> expected;
    for (uint32_t i = 0; i < count; i++) {
      merges.push_back({static_cast<uint32_t>(rng.below(200)), static_cast<uint32_t>(rng.below(200)), i});
      expected.emplace(std::pair(merges[i].left, merges[i].right), i);
    }
    const MergeTable table(merges);
    for (uint32_t left = 0; left < 200; left++) {
      for (uint32_t right = 0; right < 200; right++) {
        const auto found = expected.find({left, right});
        CHECK(table.rank(left, right) == (found == expected.end() ? kNone : found->second));
      }
    }
    CHECK(table.rank(kNone, kNone) == kNone);
    CHECK(table.memoryBytes() >= count * 16 && table.memoryBytes() <= 64 + count * 30);
  }
}

TEST(mergerMergesByRankThenLeftmost) {
  Rng rng(3);
  for (int round = 0; round < 300; round++) {
    PieceTable pieces(16);
    const size_t letters = 1 + rng.below(5);
    const auto merges = randomMerges(rng, letters, rng.below(60), pieces);
    const MergeTable table(merges);
    Merger merger;
    for (int word = 0; word < 8; word++) {
      std::vector<uint32_t> symbols(1 + rng.below(word == 0 ? 1500 : word < 4 ? 100 : 32));
      for (auto& each : symbols) each = static_cast<uint32_t>(rng.below(letters + (rng.below(50) == 0 ? 1 : 0)));
      CHECK(mergeWith(merger, table, symbols) == mergePlainly(symbols, merges));
    }
  }
}

TEST(mergerTakesLongWordsAndGivesTheirMemoryBack) {
  PieceTable pieces(16);
  std::vector<Merge> merges;
  uint32_t piece = pieces.add("a");
  for (std::string text = "aa"; text.size() <= 1024; text += text) {
    const uint32_t twice = pieces.add(text);
    merges.push_back({piece, piece, twice});
    piece = twice;
  }
  const MergeTable table(merges);
  Merger merger;
  const size_t size = size_t{1} << 20;
  const auto symbols = mergeWith(merger, table, std::vector<uint32_t>(size, 0));
  CHECK(symbols == std::vector<uint32_t>(size / 1024, piece));
  CHECK(merger.memoryBytes() < size * 36);
  merger.trim();
  CHECK(merger.memoryBytes() < 1 << 16);
}
