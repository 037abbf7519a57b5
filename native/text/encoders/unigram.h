#pragma once
#include <memory>

#include "text/plain.h"

namespace stator::text {

/// The encoder of `Kind::unigram`: of all ways to cut the normal form of a text into pieces, the one with the greatest
/// sum of scores, in double precision and in the library's order, so that ties fall as there. A character that is no
/// piece counts ten less than the worst; several in a row are one unknown token. Throws INVALID_ARGUMENT for a score
/// that is not finite, for a vocabulary without an unknown token, and for a character map that cannot be.
std::unique_ptr<PlainEncoder> makeUnigramEncoder(const Vocabulary& vocabulary);

}  // namespace stator::text
