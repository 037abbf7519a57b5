#include "text/pieces/neighbours.h"

namespace stator::text {
namespace {

constexpr size_t kLeastPlaces = 64;

/// The character that ends before `at`; kNone where none does.
uint32_t characterBefore(std::string_view text, size_t at) {
  for (size_t size = 1; size <= 4 && size <= at; size++) {
    const RawCharacter found = readCharacter(text.substr(at - size, size));
    if (found.size == size && found.point != kNone) return found.point;
  }
  return kNone;
}

}  // namespace

Neighbours::Neighbours() : seed_(HashSeed::draw()), wide_(kLeastPlaces) {}

size_t Neighbours::placeOf(uint64_t pair) const {
  const size_t mask = wide_.size() - 1;
  size_t at = foldProduct(pair ^ seed_.first, seed_.second) & mask;
  while (wide_[at] != 0 && wide_[at] != pair) at = (at + 1) & mask;
  return at;
}

void Neighbours::grow() {
  std::vector<uint64_t> old(wide_.size() * 4);
  old.swap(wide_);
  for (const uint64_t pair : old) {
    if (pair != 0) wide_[placeOf(pair)] = pair;
  }
}

void Neighbours::add(std::string_view piece) {
  uint32_t left = kNone;
  for (size_t at = 0; at < piece.size();) {
    const auto [right, size] = readCharacter(piece.substr(at));
    if (at > 0 && left < 128 && right < 128) {
      narrow_[left * 2 + right / 64] |= uint64_t{1} << (right % 64);
    } else if (at > 0 && !togetherWide(left, right)) {
      if (++count_ * 4 > wide_.size()) grow();
      wide_[placeOf(pairOf(left, right))] = pairOf(left, right);
    }
    left = right;
    at += size;
  }
}

void Neighbours::cut(std::string_view text, std::vector<uint32_t>& ends) const {
  if (text.empty()) return;
  auto [left, begin] = readCharacter(text);
  for (size_t at = begin; at < text.size();) {
    const auto first = static_cast<uint8_t>(text[at]);
    const auto [right, size] = first < 0x80 ? RawCharacter{first, 1} : readCharacter(text.substr(at));
    if (!together(left, right)) ends.push_back(static_cast<uint32_t>(at));
    left = right;
    at += size;
  }
  ends.push_back(static_cast<uint32_t>(text.size()));
}

bool Neighbours::partsAt(std::string_view text, size_t at) const {
  const uint32_t left = characterBefore(text, at);
  const uint32_t right = readCharacter(text.substr(at)).point;
  return left != kNone && right != kNone && !together(left, right);
}

}  // namespace stator::text
