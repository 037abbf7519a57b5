#pragma once
#include <stdexcept>
#include <string>
#include <utility>

namespace stator {

/// The codes of NATIVE_ERROR_CODES in lib/native/addon.ts.
enum class Code {
  invalidArgument,
  closed,
  libraryMissing,
  libraryMismatch,
  libraryCanary,
  fileMissing,
  fileCorrupt,
  outOfMemory,
  aborted,
  unsupported,
  noSpace,
  internal,
};

/// The name of a code as JavaScript sees it.
inline const char* codeName(Code code) {
  constexpr const char* names[] = {"INVALID_ARGUMENT", "CLOSED",       "LIBRARY_MISSING", "LIBRARY_MISMATCH",
                                   "LIBRARY_CANARY",   "FILE_MISSING", "FILE_CORRUPT",    "OUT_OF_MEMORY",
                                   "ABORTED",          "UNSUPPORTED",  "NO_SPACE",        "INTERNAL"};
  return names[static_cast<int>(code)];
}

/// A failure with a code and one sentence.
class Failure : public std::runtime_error {
 public:
  Failure(Code code, const std::string& sentence) : std::runtime_error(sentence), code(code) {}
  const Code code;
};

/// Throws INVALID_ARGUMENT unless the condition holds.
inline void require(bool condition, const std::string& sentence) {
  if (!condition) throw Failure(Code::invalidArgument, sentence);
}

}  // namespace stator
