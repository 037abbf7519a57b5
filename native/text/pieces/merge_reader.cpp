#include "text/pieces/merge_reader.h"

namespace stator::text {

std::string_view textOf(const Vocabulary& vocabulary, uint32_t id, std::string& room) {
  const auto text = vocabulary.texts[id];
  if (!text.empty()) return text;
  room = "[EMPTY_" + std::to_string(id) + "]";
  return room;
}

}  // namespace stator::text
