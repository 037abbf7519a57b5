#include "engine/library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <mutex>

#include "engine/failure.h"

namespace stator {
namespace {

/// In the order of need: a library finds those it needs among the loaded ones by name, so no search path is involved.
constexpr const char* kLibraries[] = {"libggml-base.so", "libggml.v0.5.0.so", "libllama.v0.5.0.so"};

void* openFile(const std::string& path, Code code) {
  if (void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
  throw Failure(code, std::string("Cannot open ") + path + ": " + dlerror() + ".");
}

bool holdsOtherVersion(const std::string& libDir) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(libDir, ignored)) {
    const auto name = entry.path().filename().string();
    if (name.starts_with("libllama.") && name != kLibraries[2]) return true;
  }
  return false;
}

void openFolder(const std::string& libDir) {
  for (const char* name : kLibraries) {
    const auto path = std::filesystem::path(libDir) / name;
    if (std::filesystem::exists(path)) {
      openFile(path.string(), Code::libraryMissing);
    } else if (holdsOtherVersion(libDir)) {
      throw Failure(Code::libraryMismatch, "The folder " + libDir + " holds another version of libllama than " +
                                               kLibraries[2] + ".");
    } else {
      throw Failure(Code::libraryMissing, "There is no " + std::string(name) + " in " + libDir + ".");
    }
  }
}

Code codeOf(stator_open_status status) {
  return status == STATOR_OPEN_MISMATCH ? Code::libraryMismatch
         : status == STATOR_OPEN_CANARY ? Code::libraryCanary
                                        : Code::libraryMissing;
}

std::shared_ptr<Library> openNew(const std::string& libDir, const std::string& engineLibrary) {
  // Without it an assertion in the library forks a debugger.
  setenv("GGML_NO_BACKTRACE", "1", 0);
  openFolder(libDir);
  void* handle = openFile(engineLibrary, Code::libraryMissing);
  const auto get = reinterpret_cast<stator_llama_api_get_fn>(dlsym(handle, STATOR_LLAMA_API_SYMBOL));
  const auto* api = get == nullptr ? nullptr : get();
  if (api == nullptr || api->revision != STATOR_LLAMA_API_REVISION || api->size != sizeof(stator_llama_api)) {
    throw Failure(Code::libraryMismatch, engineLibrary + " was built from other sources than this addon.");
  }
  auto library = std::make_shared<Library>();
  library->api = api;
  library->libDir = libDir;
  char why[512] = "";
  const auto forward = [](int32_t level, const char* text, void* user) {
    static_cast<LibraryLog*>(user)->write(level, text);
  };
  const auto status = api->open(libDir.c_str(), forward, &library->log, {why, sizeof why});
  if (status != STATOR_OPEN_OK) throw Failure(codeOf(status), std::string("libllama was refused: ") + why + ".");
  return library;
}

}  // namespace

std::string Library::loadBackend(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (const auto known = outcomes_.find(path); known != outcomes_.end()) return known->second;
  const auto name = std::filesystem::path(path).filename();
  for (const auto& [other, reason] : outcomes_) {
    if (reason.empty() && std::filesystem::path(other).filename() == name) {
      return outcomes_[path] = "It is not needed: " + other + " is loaded.";
    }
  }
  const LibraryLog::Capture errors;
  const bool loaded = api->load_backend(path.c_str());
  return outcomes_[path] = loaded ? "" : errors.text("It finds no device.");
}

std::shared_ptr<Library> openLibrary(const std::string& libDir, const std::string& engineLibrary) {
  // Process-wide on purpose, as the library's own state is; every environment of the process shares it.
  static std::mutex mutex;
  static auto* const opened = new std::shared_ptr<Library>();
  const std::lock_guard lock(mutex);
  if (*opened == nullptr) *opened = openNew(libDir, engineLibrary);
  require((*opened)->libDir == libDir, "libllama is already open from " + (*opened)->libDir + ".");
  return *opened;
}

}  // namespace stator
