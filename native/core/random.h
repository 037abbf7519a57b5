#pragma once
#include <array>
#include <cstdint>

namespace stator {

/// Philox4x32-10: four random words that depend on counter and key alone.
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// Which draw of one token: its own, or the second one after a grammar rejected the first.
enum class Lane : uint32_t { own = 0, afterRejection = 1 };

/// The draw of the token at `position` of a choice, in [0, 1), with 53 random bits. The formula is documented at
/// `uniformDraw` in lib/native/addon.ts.
double uniformDraw(uint64_t seed, uint32_t choice, uint32_t position, Lane lane);

}  // namespace stator
