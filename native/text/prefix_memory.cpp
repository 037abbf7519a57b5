#include "text/prefix_memory.h"

#include <algorithm>
#include <iterator>

#include "core/xxh3.h"

namespace stator::text {
namespace {

/// What an entry costs beside its own: nodes of the list and of the maps, and the heads of its blocks.
constexpr size_t kEntryBytes = 200;

/// Chunks with the same first bytes behind the same beginning: more are hardly told apart.
constexpr size_t kMostAlike = 4;

/// The places of the ranges that reach into [start, end), first and behind the last.
std::pair<size_t, size_t> rangesIn(const Content& content, size_t start, size_t end) {
  const auto after = [&](size_t place) {
    return static_cast<size_t>(std::upper_bound(content.begin(), content.end(), place) - content.begin());
  };
  const size_t first = after(start) & ~size_t{1};
  size_t last = first;
  while (last < content.size() && content[last] < end) last += 2;
  return {first, last};
}

/// Calls `each` with the start and the end of content in a chunk, as the chunk counts.
template <typename Each>
void eachRange(const Content& content, size_t start, size_t end, const Each& each) {
  const auto [first, last] = rangesIn(content, start, end);
  for (size_t at = first; at < last; at += 2) {
    each(std::max<size_t>(content[at], start) - start, std::min<size_t>(content[at + 1], end) - start);
  }
}

bool equalContent(const Content& known, const Content& content, size_t start, size_t end) {
  size_t at = 0;
  bool isEqual = true;
  eachRange(content, start, end, [&](size_t from, size_t to) {
    isEqual = isEqual && at < known.size() && known[at] == from && known[at + 1] == to;
    at += 2;
  });
  return isEqual && at == known.size();
}

}  // namespace

size_t PrefixMemory::Entry::bytes() const {
  return sizeof(Entry) + kEntryBytes + text.capacity() + (content.capacity() + tokens.capacity()) * sizeof(uint32_t);
}

PrefixMemory::Entries::iterator PrefixMemory::lookUp(uint64_t key, const Known& known, std::string_view text,
                                                     const Content& content) {
  const auto [first, last] = byKey_.equal_range(key);
  for (auto each = first; each != last; ++each) {
    const auto& entry = *each->second;
    if (entry.before != known.chunk || text.compare(known.at, entry.text.size(), entry.text) != 0) continue;
    if (equalContent(entry.content, content, known.at, known.at + entry.size)) return each->second;
  }
  return entries_.end();
}

/// The place in the order of use behind a chunk; the first place for 0.
PrefixMemory::Entries::iterator PrefixMemory::behind(uint64_t chunk) {
  return chunk == 0 ? entries_.begin() : std::next(bySelf_.at(chunk));
}

PrefixMemory::Known PrefixMemory::find(std::string_view text, const Content& content, std::vector<uint32_t>& tokens) {
  const std::lock_guard lock(mutex_);
  Known known;
  while (text.size() - known.at >= kLeastChunk) {
    const uint64_t key = xxh3(text.data() + known.at, kLeastChunk, known.chunk);
    const auto entry = lookUp(key, known, text, content);
    if (entry == entries_.end()) break;
    entries_.splice(behind(known.chunk), entries_, entry);
    tokens.insert(tokens.end(), entry->tokens.begin(), entry->tokens.end());
    known = {known.at + entry->size, entry->self, entry->isFresh};
  }
  return known;
}

PrefixMemory::Known PrefixMemory::add(const Known& before, std::string_view text, const Content& content,
                                      const Chunk& chunk, const uint32_t* tokens, size_t count) {
  Entry entry{xxh3(text.data() + chunk.start, kLeastChunk, before.chunk), before.chunk, 0,
              std::string(text.substr(chunk.start, chunk.end - chunk.start + chunk.ahead)),
              chunk.end - chunk.start, {}, {tokens, tokens + count}, chunk.isFresh};
  eachRange(content, chunk.start, chunk.end, [&](size_t from, size_t to) {
    entry.content.push_back(static_cast<uint32_t>(from));
    entry.content.push_back(static_cast<uint32_t>(to));
  });
  const std::lock_guard lock(mutex_);
  if (before.chunk != 0 && bySelf_.count(before.chunk) == 0) return {chunk.end, before.chunk, chunk.isFresh};
  // Another thread may have encoded the same.
  const auto same = lookUp(entry.key, before, text, content);
  if (same != entries_.end()) return {chunk.end, same->self, chunk.isFresh};
  if (byKey_.count(entry.key) >= kMostAlike) forget(byKey_.find(entry.key)->second);
  const uint64_t self = entry.self = ++lastChunk_;
  const auto placed = entries_.insert(behind(before.chunk), std::move(entry));
  byKey_.emplace(placed->key, placed);
  bySelf_.emplace(self, placed);
  bytes_ += placed->bytes();
  while (bytes_ > mostBytes_) forget(std::prev(entries_.end()));
  return {chunk.end, self, chunk.isFresh};
}

void PrefixMemory::forget(Entries::iterator entry) {
  const auto [first, last] = byKey_.equal_range(entry->key);
  byKey_.erase(std::find_if(first, last, [&](const auto& each) { return each.second == entry; }));
  bySelf_.erase(entry->self);
  bytes_ -= entry->bytes();
  entries_.erase(entry);
}

size_t PrefixMemory::memoryBytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace stator::text
