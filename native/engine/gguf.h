#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace stator {

/// What a file is opened as.
enum class GgufKind { model, vocabulary, adapter };

/// Throws FILE_MISSING when the file cannot be read and FILE_CORRUPT unless its header can be walked within the file's
/// bounds and holds what the library would otherwise end the process for: a layer count in range, and tokens that are
/// there and differ from each other.
void checkGguf(const std::string& path, GgufKind kind);

/// The same for the bytes of a file. One sentence, or nothing when the header is sound.
std::string refuseGguf(std::span<const uint8_t> bytes, GgufKind kind);

}  // namespace stator
