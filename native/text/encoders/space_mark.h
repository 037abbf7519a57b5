#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace stator::text {

/// U+2581, which vocabularies over characters have for a space. Their pieces and their texts are kept with plain spaces
/// here; a piece with a space of its own is one that no text holds.
inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";

/// Appends text with spaces for marks.
void unmark(std::string_view text, std::string& out);

/// The same for a piece; false where it holds a space.
bool unmarkPiece(std::string_view text, std::string& out);

/// The name of a byte's token in such vocabularies, such as `<0x0A>`.
std::string byteName(uint8_t byte);

}  // namespace stator::text
