#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "engine/log.h"
#include "stator/llama_api.h"

namespace stator {

/// The opened llama library. It is never closed: its back ends keep threads and static state.
class Library {
 public:
  const stator_llama_api* api = nullptr;
  std::string libDir;
  LibraryLog log;

  /// Loads a further back end and says in one sentence why not, or nothing. A path is tried once per process, and of
  /// several files with one name (builds for several drivers) the first that loads.
  std::string loadBackend(const std::string& path);

 private:
  std::mutex mutex_;
  std::map<std::string, std::string> outcomes_;
};

/// Opens libllama, its parts and our table by absolute path, once per process. Throws a Failure; a second call with
/// another folder is one. `engineLibrary` is the path of libstator-llama.
std::shared_ptr<Library> openLibrary(const std::string& libDir, const std::string& engineLibrary);

}  // namespace stator
