#pragma once
#include <memory>

#include "text/plain.h"

namespace stator::text {

/// The encoder of Kind::bytePair: words by the rule of the vocabulary, then merges over their bytes.
std::unique_ptr<PlainEncoder> makeBytePairEncoder(const Vocabulary& vocabulary);

}  // namespace stator::text
