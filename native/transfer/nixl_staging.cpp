#include "transfer/nixl_staging.h"

#include <sys/mman.h>

#include <algorithm>

#include "engine/failure.h"

namespace stator::nixl {
namespace {

/// Longer than a network keeps a packet of a connection that has failed.
constexpr std::chrono::seconds kRest{5};

}  // namespace

Staging::~Staging() {
  for (const auto& piece : pieces_) munmap(piece->data, piece->sizeBytes);
}

Piece* Staging::take() {
  const auto now = transfer::Clock::now();
  const auto rested = std::ranges::find_if(free_, [&](const Piece* each) { return each->restsUntil <= now; });
  if (rested == free_.end()) return pieces_.size() < mostPieces_ ? make() : nullptr;
  Piece* piece = *rested;
  free_.erase(rested);
  return piece;
}

Piece* Staging::make() {
  void* data = mmap(nullptr, pieceBytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw Failure(Code::outOfMemory, "There is no memory for what NIXL reads.");
  auto piece = std::make_unique<Piece>(Piece{static_cast<uint8_t*>(data), pieceBytes_, nullptr, {}});
  try {
    piece->registration = core_.registerMemory(data, pieceBytes_);
  } catch (...) {
    munmap(data, pieceBytes_);
    throw;
  }
  pieces_.push_back(std::move(piece));
  return pieces_.back().get();
}

void Staging::giveBack(Piece* piece, bool badly) {
  if (badly) piece->restsUntil = transfer::Clock::now() + kRest;
  free_.push_back(piece);
}

void Staging::unregister() {
  for (const auto& piece : pieces_) {
    if (piece->registration != nullptr) core_.unregister(piece->registration);
    piece->registration = nullptr;
  }
}

}  // namespace stator::nixl
