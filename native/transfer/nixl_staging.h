#pragma once
#include <chrono>
#include <memory>
#include <vector>

#include "transfer/job.h"
#include "transfer/nixl_core.h"

namespace stator::nixl {

/// Registered memory that one transfer at a time may fill.
struct Piece {
  uint8_t* data = nullptr;
  size_t sizeBytes = 0;
  RegList_t registration = nullptr;
  /// After a transfer that failed it rests until then: parts of it may still be on their way.
  transfer::Clock::time_point restsUntil{};
};

/// The pieces in which bytes arrive. NIXL cannot take a transfer back for sure, so bytes never arrive where somebody else
/// will look: a piece whose transfer does not end is not used again, and another one takes its place, up to a bound.
class Staging {
 public:
  Staging(Core& core, size_t pieceBytes, size_t mostPieces)
      : core_(core), pieceBytes_(pieceBytes), mostPieces_(mostPieces) {}
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  size_t pieceBytes() const { return pieceBytes_; }
  /// A free piece; nullptr when there is none and none may be made. Throws OUT_OF_MEMORY or UNSUPPORTED.
  Piece* take();
  /// Its transfer has ended; badly: the piece rests.
  void giveBack(Piece* piece, bool badly);
  /// Tells the library that they are no longer used, before it closes.
  void unregister();
  /// Keeps the memory for ever: somebody may still write to it.
  void abandon() { pieces_.clear(); }

 private:
  Piece* make();

  Core& core_;
  const size_t pieceBytes_;
  const size_t mostPieces_;
  std::vector<std::unique_ptr<Piece>> pieces_;
  std::vector<Piece*> free_;
};

}  // namespace stator::nixl
