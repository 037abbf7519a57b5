#include "text/encoders/character_map.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "engine/failure.h"
#include "text/pieces/character_table.h"

static_assert(std::endian::native == std::endian::little, "The map is read as it lies in the file.");

namespace stator::text {

CharacterMap::CharacterMap(std::string_view file) {
  if (file.empty()) return;
  uint32_t size = 0;
  require(file.size() > sizeof size, "The character map is cut short.");
  std::memcpy(&size, file.data(), sizeof size);
  file.remove_prefix(sizeof size);
  require(size < file.size(), "The character map is cut short.");
  require(file.size() <= kMostBytes, "The character map is too large.");
  entries_.resize(size / sizeof(uint32_t));
  std::memcpy(entries_.data(), file.data(), entries_.size() * sizeof(uint32_t));
  replacements_.assign(file.begin() + size, file.end());
  // What follows the last NUL is no replacement.
  while (!replacements_.empty() && replacements_.back() != 0) replacements_.pop_back();
  if (!entries_.empty()) check();
}

void CharacterMap::checkEnd(uint32_t at, size_t keyBytes) const {
  require(at < entries_.size(), "The character map points outside itself.");
  const uint32_t offset = entries_[at] & 0x7FFFFFFF;
  require(offset < replacements_.size(), "The character map points outside its replacements.");
  const size_t most = keyBytes * kMostGrowth + 1;
  const std::string_view replacement(replacements_.data() + offset, std::min(most, replacements_.size() - offset));
  const size_t end = replacement.find('\0');
  require(end != std::string_view::npos, "The character map has a replacement that is too long.");
  for (size_t i = 0; i < end;) {
    const auto [point, bytes] = readCharacter(replacement.substr(i, end - i));
    require(point != kNone, "The character map has a replacement that is not UTF-8.");
    i += bytes;
  }
}

// An entry with a label is the way from the place at its index XOR its label to the one at its index XOR its base. All
// ways are followed byte by byte from the root, each at most once per length of key; keys may share their ends.
void CharacterMap::check() {
  std::vector<std::pair<uint32_t, uint32_t>> ways;
  for (uint32_t at = 0; at < entries_.size(); at++) {
    const uint32_t label = entries_[at] & 0x800000FF;
    if (label > 0 && label < 256) ways.emplace_back(at ^ label, at);
  }
  std::sort(ways.begin(), ways.end());
  std::vector<uint32_t> places{baseOf(entries_[0])};
  std::vector<uint32_t> next;
  size_t visits = 0;
  for (size_t length = 1; !places.empty(); length++) {
    visits += places.size();
    require(visits <= ways.size() * 8 + 1, "The character map has keys without end.");
    require(length <= kMostKeyBytes, "The character map has a key that is too long.");
    next.clear();
    for (const uint32_t place : places) {
      for (auto way = std::lower_bound(ways.begin(), ways.end(), std::pair{place, uint32_t{0}});
           way != ways.end() && way->first == place; way++) {
        const uint32_t at = way->second;
        const auto label = static_cast<uint8_t>(entries_[at]);
        if (length == 1) begins_[label] = true;
        if (length > 1 && label < 0x80) narrowInside_ = true;
        next.push_back(at ^ baseOf(entries_[at]));
        if (ends(entries_[at])) checkEnd(next.back(), length);
      }
    }
    std::sort(next.begin(), next.end());
    next.erase(std::unique(next.begin(), next.end()), next.end());
    places.swap(next);
  }
  for (uint32_t first = 1; first < 256; first++) {
    const uint32_t at = baseOf(entries_[0]) ^ first;
    if (!begins_[first]) continue;
    const uint32_t place = at ^ baseOf(entries_[at]);
    touchesNarrow_[first] = ends(entries_[at]);
    for (uint32_t label = 1; label < 0x80; label++) {
      if (hasLabel(place ^ label, static_cast<uint8_t>(label))) touchesNarrow_[first] = true;
    }
  }
}

CharacterMap::Match CharacterMap::match(std::string_view text, size_t at) const {
  Match found{0, {}};
  if (entries_.empty()) return found;
  uint32_t place = baseOf(entries_[0]);
  for (size_t end = at; end < text.size();) {
    const auto label = static_cast<uint8_t>(text[end++]);
    place ^= label;
    if (label == 0 || !hasLabel(place, label)) break;
    const uint32_t entry = entries_[place];
    place ^= baseOf(entry);
    if (ends(entry)) found = {end - at, replacements_.data() + (entries_[place] & 0x7FFFFFFF)};
  }
  return found;
}

}  // namespace stator::text
