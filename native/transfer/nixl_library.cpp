#include "transfer/nixl_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>

#include "engine/failure.h"

namespace stator::nixl {
namespace {

/// In the order of need. A library that was built, not taken from a wheel, does not say where its own parts lie; those that
/// are loaded already it finds by name.
constexpr const char* kParts[] = {"libserdes.so", "libnixl_common.so", "libstream.so", "libnixl_build.so", "libnixl.so"};

void* openWithParts(const std::filesystem::path& path) {
  if (void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
  const std::string why = dlerror();
  for (const char* part : kParts) {
    const auto beside = path.parent_path() / part;
    std::error_code ignored;
    if (path.has_parent_path() && std::filesystem::exists(beside, ignored)) dlopen(beside.c_str(), RTLD_NOW | RTLD_LOCAL);
  }
  if (void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
  throw Failure(Code::libraryMissing, "Cannot open " + path.string() + ": " + why + ".");
}

template <typename Function>
void find(void* handle, const char* name, Function*& out, std::string& lacking) {
  out = reinterpret_cast<Function*>(dlsym(handle, name));
  if (out == nullptr && lacking.empty()) lacking = name;
}

std::shared_ptr<const Library> openNew(const std::string& path) {
  // Of a process that is not the library's own: no handlers of signals, no hooks into the code that maps memory, and
  // nothing but mistakes on stderr. Whoever runs it may say otherwise.
  setenv("UCX_HANDLE_ERRORS", "none", 0);
  setenv("UCX_MEM_MMAP_HOOK_MODE", "none", 0);
  setenv("UCX_LOG_LEVEL", "error", 0);
  setenv("NIXL_LOG_LEVEL", "fatal", 0);
  void* handle = openWithParts(path);
  auto library = std::make_shared<Library>();
  library->path = path;
  std::string lacking;
#define STATOR_NIXL_FIND(result, name, arguments) find(handle, "nixl_capi_" #name, library->api.name, lacking);
  STATOR_NIXL_FUNCTIONS(STATOR_NIXL_FIND)
#undef STATOR_NIXL_FIND
  if (!lacking.empty()) throw Failure(Code::libraryMismatch, path + " lacks " + lacking + ".");
  if (library->api.is_stub()) throw Failure(Code::libraryMismatch, path + " is a stub without NIXL behind it.");
  return library;
}

}  // namespace

std::shared_ptr<const Library> openLibrary(const std::string& path) {
  // Process-wide on purpose, as the library's own state is.
  static std::mutex mutex;
  static auto* const opened = new std::map<std::string, std::shared_ptr<const Library>>();
  const std::lock_guard lock(mutex);
  auto& library = (*opened)[path];
  if (library == nullptr) library = openNew(path);
  return library;
}

std::vector<std::string> pluginsOf(const Library& library) {
  const auto& api = library.api;
  Agent_t agent = nullptr;
  const AgentConfig config{};
  if (api.create_configured_agent("stator-probe", &config, &agent) != kOk) {
    throw Failure(Code::internal, "NIXL makes no agent.");
  }
  std::vector<std::string> plugins;
  StringList_t list = nullptr;
  if (api.get_available_plugins(agent, &list) == kOk) {
    size_t size = 0;
    api.string_list_size(list, &size);
    for (size_t i = 0; i < size; i++) {
      const char* text = nullptr;
      if (api.string_list_get(list, i, &text) == kOk && text != nullptr) plugins.emplace_back(text);
    }
    api.destroy_string_list(list);
  }
  api.destroy_agent(agent);
  return plugins;
}

}  // namespace stator::nixl
