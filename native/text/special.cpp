#include "text/special.h"

#include <algorithm>
#include <cstddef>

namespace stator::text {
namespace {

constexpr uint32_t kNone = UINT32_MAX;

/// The white space of C's isspace, which is ASCII.
bool isSpace(char byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

}  // namespace

Specials::Specials(std::vector<SpecialToken> tokens) : tokens_(std::move(tokens)), orders_{kNone} {
  bool strips = false;
  bool holdsSpace = false;
  for (uint32_t order = 0; order < tokens_.size(); order++) {
    const auto& token = tokens_[order];
    stripsLeft_ = stripsLeft_ || token.stripsLeft;
    strips = strips || token.stripsLeft || token.stripsRight;
    holdsSpace = holdsSpace || std::any_of(token.text.begin(), token.text.end(), isSpace);
    longest_ = std::max(longest_, token.text.size());
    uint32_t node = 0;
    for (const char byte : token.text) {
      const auto [edge, isNew] = edges_.try_emplace(uint64_t{node} << 8 | static_cast<uint8_t>(byte), orders_.size());
      if (isNew) orders_.push_back(kNone);
      hasNext_.resize(orders_.size());
      hasNext_[node] = true;
      node = edge->second;
    }
    if (node != 0 && orders_[node] == kNone) orders_[node] = order;
    if (!token.text.empty()) isFirst_[static_cast<uint8_t>(token.text[0])] = true;
  }
  stripsInside_ = strips && holdsSpace;
  const auto firsts = std::count(isFirst_.begin(), isFirst_.end(), true);
  if (firsts == 1) onlyFirst_ = static_cast<char>(std::find(isFirst_.begin(), isFirst_.end(), true) - isFirst_.begin());
}

uint32_t Specials::step(uint32_t node, char byte) const {
  const auto found = edges_.find(uint64_t{node} << 8 | static_cast<uint8_t>(byte));
  return found == edges_.end() ? kNone : found->second;
}

/// The next place from `from` on at which a special text may begin; the text's end where there is none.
size_t Specials::findFirst(std::string_view text, size_t from) const {
  if (onlyFirst_ != 0) return std::min(text.find(onlyFirst_, from), text.size());
  while (from < text.size() && !isFirst_[static_cast<uint8_t>(text[from])]) from++;
  return from;
}

bool Specials::isHidden(const SpecialToken& token, size_t start, const Content& content) const {
  if (!token.ofTemplate || content.empty()) return false;
  // The first range that ends behind the start: ends stand at odd places.
  const size_t at = static_cast<size_t>(std::upper_bound(content.begin(), content.end(), start) - content.begin());
  const size_t range = at & ~size_t{1};
  return range < content.size() && content[range] < start + token.text.size() && content[range + 1] > start;
}

/// Decides between texts that overlap in a cluster, as the library does: token by token, each takes what is free.
void Specials::settle(std::string_view text, const Content& content, const Place& cluster,
                      std::vector<uint32_t>& orders, std::vector<Place>& kept) const {
  const size_t before = kept.size();
  std::sort(orders.begin(), orders.end());
  std::vector<bool> taken(cluster.end - cluster.start);
  const auto region = text.substr(0, cluster.end);
  for (const uint32_t order : orders) {
    const auto& token = tokens_[order];
    const size_t size = token.text.size();
    for (size_t at = cluster.start; (at = region.find(token.text, at)) != std::string_view::npos;) {
      const auto first = taken.begin() + static_cast<ptrdiff_t>(at - cluster.start);
      const auto last = first + static_cast<ptrdiff_t>(size);
      if (std::find(first, last, true) != last || isHidden(token, at, content)) {
        at++;
        continue;
      }
      std::fill(first, last, true);
      kept.push_back({at, at + size, order});
      at += size;
    }
  }
  std::sort(kept.begin() + static_cast<ptrdiff_t>(before), kept.end(),
            [](const Place& left, const Place& right) { return left.start < right.start; });
}

/// Where special tokens stand. Only texts that touch the same bytes compete: such a stretch is a cluster.
std::vector<Specials::Place> Specials::places(std::string_view text, size_t from, const Content& content) const {
  std::vector<Place> kept;
  std::vector<uint32_t> orders;
  std::vector<bool> seen(tokens_.size());
  Place cluster{from, from, kNone};
  const auto flush = [&] {
    if (orders.size() == 1 && cluster.end - cluster.start == tokens_[orders[0]].text.size()) {
      kept.push_back({cluster.start, cluster.end, orders[0]});
    } else if (!orders.empty()) {
      settle(text, content, cluster, orders, kept);
    }
    for (const uint32_t order : orders) seen[order] = false;
    orders.clear();
  };
  for (size_t start = findFirst(text, from); start < text.size(); start = findFirst(text, start + 1)) {
    uint32_t node = 0;
    for (size_t at = start; at < text.size() && (node = step(node, text[at])) != kNone; at++) {
      const uint32_t order = orders_[node];
      if (order == kNone || isHidden(tokens_[order], start, content)) continue;
      if (start >= cluster.end) {
        flush();
        cluster = {start, at + 1, kNone};
      }
      cluster.end = std::max(cluster.end, at + 1);
      if (!seen[order]) orders.push_back(order);
      seen[order] = true;
    }
  }
  flush();
  return kept;
}

std::vector<Part> Specials::cut(std::string_view text, size_t from, const Content& content) const {
  if (stripsInside_) return cutTokenByToken(text, from, content);
  std::vector<Part> parts;
  bool stripped = false;
  const auto plain = [&](size_t start, size_t end, bool isStripped) {
    if (stripped) {
      while (start < end && isSpace(text[start])) start++;
    }
    if (isStripped) {
      while (end > start && isSpace(text[end - 1])) end--;
    }
    if (start < end) parts.push_back({start, end});
  };
  for (const auto& place : places(text, from, content)) {
    const auto& token = tokens_[place.order];
    plain(from, place.start, token.stripsLeft);
    parts.push_back({place.start, place.end, &token});
    from = place.end;
    stripped = token.stripsRight;
  }
  plain(from, text.size(), false);
  return parts;
}

/// Token by token over the whole text, as the library does it. Slow with many tokens, and right for all.
std::vector<Part> Specials::cutTokenByToken(std::string_view text, size_t from, const Content& content) const {
  std::vector<Part> parts;
  if (from < text.size()) parts.push_back({from, text.size()});
  std::vector<Part> next;
  for (const auto& token : tokens_) {
    if (token.text.empty() || text.find(token.text, from) == std::string_view::npos) continue;
    next.clear();
    for (const auto& part : parts) {
      size_t start = part.start;
      const auto region = text.substr(0, part.end);
      for (size_t at = start; part.special == nullptr && (at = region.find(token.text, at)) != std::string_view::npos;) {
        if (isHidden(token, at, content)) {
          at++;
          continue;
        }
        size_t end = at;
        while (token.stripsLeft && end > start && isSpace(text[end - 1])) end--;
        if (end > start) next.push_back({start, end});
        start = at + token.text.size();
        next.push_back({at, start, &token});
        while (token.stripsRight && start < part.end && isSpace(text[start])) start++;
        at = start;
      }
      if (part.special != nullptr) next.push_back(part);
      else if (start < part.end) next.push_back({start, part.end});
    }
    parts.swap(next);
  }
  return parts;
}

bool Specials::maySplit(std::string_view text, size_t at) const {
  if (stripsInside_ || (stripsLeft_ && at > 0 && isSpace(text[at - 1]))) return false;
  // No special text may have begun that does not end here.
  for (size_t start = at < longest_ ? 0 : at - longest_ + 1; start < at; start++) {
    if (!isFirst_[static_cast<uint8_t>(text[start])]) continue;
    uint32_t node = 0;
    for (size_t each = start; each < at && node != kNone; each++) node = step(node, text[each]);
    if (node != kNone && hasNext_[node]) return false;
  }
  return true;
}

size_t Specials::memoryBytes() const {
  size_t bytes = tokens_.size() * sizeof(SpecialToken) + edges_.size() * 40 + orders_.size() * sizeof(uint32_t);
  for (const auto& token : tokens_) bytes += token.text.capacity();
  return bytes;
}

}  // namespace stator::text
