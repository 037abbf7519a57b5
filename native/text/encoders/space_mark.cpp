#include "text/encoders/space_mark.h"

namespace stator::text {

void unmark(std::string_view text, std::string& out) {
  for (size_t at = 0;;) {
    const size_t mark = text.find(kSpaceMark, at);
    out.append(text.substr(at, mark - at));
    if (mark == std::string_view::npos) return;
    out.push_back(' ');
    at = mark + kSpaceMark.size();
  }
}

bool unmarkPiece(std::string_view text, std::string& out) {
  if (text.find(' ') != std::string_view::npos) return false;
  unmark(text, out);
  return true;
}

std::string byteName(uint8_t byte) {
  constexpr char digits[] = "0123456789ABCDEF";
  return {'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'};
}

}  // namespace stator::text
