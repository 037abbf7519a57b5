#pragma once
#include <memory>

#include "text/plain.h"

namespace stator::text {

/// The encoder of `Kind::scoreMerge`: of all neighbours whose joint text is a token, those with the highest score
/// become one, the leftmost first, until none are left; what is no token then falls to its bytes. Throws
/// INVALID_ARGUMENT for a score that is no number or a byte without a token, UNSUPPORTED for a piece of great length.
std::unique_ptr<PlainEncoder> makeScoreMergeEncoder(const Vocabulary& vocabulary);

}  // namespace stator::text
