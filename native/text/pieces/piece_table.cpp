#include "text/pieces/piece_table.h"

#include <algorithm>
#include <bit>

#include "engine/failure.h"

namespace stator::text {
namespace {

constexpr size_t kLeastSlots = 16;

}  // namespace

PieceTable::PieceTable(size_t texts) : seed_(HashSeed::draw()) {
  resize(std::bit_ceil(std::max(kLeastSlots, texts + texts / 2)));
  ends_.reserve(texts + 1);
  ends_.push_back(0);
}

uint32_t PieceTable::find(std::string_view text) const { return find(text, hashBytes(text, seed_)); }

uint32_t PieceTable::find(std::string_view text, uint64_t hash) const {
  for (size_t at = placeOf(hash);; at = (at + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[at];
    if (slot.number == kNone) return kNone;
    if (slot.tag == static_cast<uint32_t>(hash) && (*this)[slot.number] == text) return slot.number;
  }
}

uint32_t PieceTable::add(std::string_view text) {
  const uint64_t hash = hashBytes(text, seed_);
  if (const uint32_t number = find(text, hash); number != kNone) return number;
  require(texts_.size() + text.size() < kNone && size() < kNone - 1, "The texts of the vocabulary are too many.");
  const auto number = static_cast<uint32_t>(size());
  texts_.append(text);
  ends_.push_back(static_cast<uint32_t>(texts_.size()));
  // A third stays free: probes are short.
  if (++used_ > slots_.size() / 3 * 2) resize(slots_.size() * 2);
  place(hash, number);
  return number;
}

void PieceTable::resize(size_t slots) {
  const auto before = std::move(slots_);
  slots_.assign(slots, {});
  shift_ = 64 - static_cast<unsigned>(std::countr_zero(slots));
  for (const Slot& slot : before) {
    if (slot.number != kNone) place(hashBytes((*this)[slot.number], seed_), slot.number);
  }
}

void PieceTable::place(uint64_t hash, uint32_t number) {
  size_t at = placeOf(hash);
  while (slots_[at].number != kNone) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = {static_cast<uint32_t>(hash), number};
}

size_t PieceTable::memoryBytes() const {
  return slots_.capacity() * sizeof(Slot) + texts_.capacity() + ends_.capacity() * sizeof(uint32_t);
}

}  // namespace stator::text
