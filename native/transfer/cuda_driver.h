#pragma once
#include <memory>
#include <string>

#include "transfer/cuda_api.h"
#include "transfer/region.h"

namespace stator::cuda {

/// An open libcuda.so.1. It is never unloaded: other code of this process may use it too.
struct Driver {
  Api api;
  std::string path;
};

/// Opens a driver by its path, or by its name where the loader knows it; the same one once per process. Throws LIBRARY_MISSING
/// where it cannot be opened, LIBRARY_MISMATCH where it lacks a function.
std::shared_ptr<const Driver> openDriver(const std::string& path);

/// Pins memory for all devices of the process until the hold ends: copies to a device and from it then go past the processor.
/// Takes all of its pages, which is slow: some tenths of a second for a gigabyte, and as long again where the driver has done
/// nothing yet. Throws UNSUPPORTED with the driver's reason, and leaves nothing behind then.
std::unique_ptr<transfer::Hold> pin(std::shared_ptr<const Driver> driver, void* data, size_t sizeBytes);

}  // namespace stator::cuda
