#pragma once
#include <memory>
#include <string_view>

#include "text/plain.h"

namespace stator::text {

/// Whether a vocabulary whose file is of the kind `gpt2` merges over characters all the same, by the name of its rule.
bool mergesCharacters(std::string_view pre);

/// The encoder of Kind::gemmaPair: merges over the characters of lines, spaces as U+2581, bytes for what has no token.
std::unique_ptr<PlainEncoder> makeCharacterPairEncoder(const Vocabulary& vocabulary);

}  // namespace stator::text
