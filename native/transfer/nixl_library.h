#pragma once
#include <memory>
#include <string>
#include <vector>

#include "transfer/nixl_api.h"

namespace stator::nixl {

/// An open libnixl_capi.so. It is never unloaded: it has threads and hooks of its own.
struct Library {
  Api api;
  std::string path;
};

/// Opens a library by its path, or by its name where the loader knows it; the same one once per process. Throws
/// LIBRARY_MISSING where it cannot be opened, LIBRARY_MISMATCH where it is a stub or lacks a function.
std::shared_ptr<const Library> openLibrary(const std::string& path);

/// The back ends that it can load, from an agent that is closed again. Throws INTERNAL when it makes none.
std::vector<std::string> pluginsOf(const Library& library);

}  // namespace stator::nixl
