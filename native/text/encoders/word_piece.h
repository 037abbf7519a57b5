#pragma once
#include <memory>

#include "text/plain.h"

namespace stator::text {

/// The encoder of `Kind::wordPiece`: words between spaces, lowercased and without accents where the file says so, marks
/// of punctuation and Chinese characters by themselves; each with a mark of space in front, cut into the longest pieces
/// from left to right. A word that is not cut up whole is one unknown token. Throws INVALID_ARGUMENT for a vocabulary
/// without an unknown token, UNSUPPORTED for a piece of great length.
std::unique_ptr<PlainEncoder> makeWordPieceEncoder(const Vocabulary& vocabulary);

}  // namespace stator::text
