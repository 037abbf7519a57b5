#pragma once
#include <memory>
#include <string>

#include "engine/log.h"
#include "stator/llama_api.h"

namespace stator {

/// The opened llama library. It is never closed: its back ends keep threads and static state.
struct Library {
  const stator_llama_api* api;
  std::string libDir;
  LibraryLog log;
};

/// Opens libllama, its parts and our table by absolute path, once per process. Throws a Failure; a second call with
/// another folder is one. `engineLibrary` is the path of libstator-llama.
std::shared_ptr<Library> openLibrary(const std::string& libDir, const std::string& engineLibrary);

}  // namespace stator
