#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "text/vocabulary.h"

/// Merges by rank as they are told, for tests: no faster than that.
namespace stator::test {

/// Of pairs of texts; of repeated ones the first counts.
using NaiveRanks = std::map<std::pair<std::string, std::string>, size_t>;

inline NaiveRanks readRanks(const text::Vocabulary& vocabulary) {
  NaiveRanks ranks;
  for (size_t i = 0; i < vocabulary.merges.size; i++) {
    const std::string merge(vocabulary.merges[i]);
    const size_t space = merge.find(' ', 1);
    if (space != std::string::npos) ranks.emplace(std::pair(merge.substr(0, space), merge.substr(space + 1)), i);
  }
  return ranks;
}

/// The pair of the lowest rank, the leftmost of equal ones, again and again.
inline void mergeNaively(const NaiveRanks& ranks, std::vector<std::string>& symbols) {
  for (;;) {
    size_t lowest = SIZE_MAX, place = 0;
    for (size_t i = 0; i + 1 < symbols.size(); i++) {
      const auto found = ranks.find({symbols[i], symbols[i + 1]});
      if (found == ranks.end() || found->second >= lowest) continue;
      lowest = found->second;
      place = i;
    }
    if (lowest == SIZE_MAX) return;
    symbols[place] += symbols[place + 1];
    symbols.erase(symbols.begin() + static_cast<long>(place) + 1);
  }
}

}  // namespace stator::test
