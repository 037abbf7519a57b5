#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace stator {

/// Where bytes of blocks are between the library and whoever moves them: in memory that was lent for it, as far as they fit,
/// else in our own. The library copies from a device, and to it, at this place alone.
class Staging {
 public:
  /// Used from the next `take` on; empty: our own again.
  void lend(std::span<uint8_t> memory) { lent_ = memory; }

  /// So many bytes with anything in them, until the next call of either.
  std::span<uint8_t> take(size_t size) {
    if (size <= lent_.size()) return lent_.first(size);
    own_.resize(size);
    return own_;
  }

 private:
  std::span<uint8_t> lent_;
  std::vector<uint8_t> own_;
};

}  // namespace stator
