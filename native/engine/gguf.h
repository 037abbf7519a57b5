#pragma once
#include <string>

namespace stator {

/// Throws FILE_MISSING when the file cannot be read and FILE_CORRUPT unless it begins as a GGUF file of version 2 or 3.
void checkGguf(const std::string& path);

}  // namespace stator
