#pragma once
#include <cstddef>

#include "transfer/descriptor.h"

namespace stator::transfer {

/// A memory file of so many bytes, not sealed yet; not open where there is none to be had.
Descriptor openMemoryFile(size_t sizeBytes);

/// Fixes its size, and that nobody but who has mapped it already writes to it, where the kernel can.
void sealMemoryFile(const Descriptor& file);

/// Throws UNSUPPORTED unless the file is a memory file of exactly this size that cannot shrink. Only such a file may be
/// mapped: a page that its owner cut off would end this process.
void checkMemoryFile(const Descriptor& file, size_t sizeBytes);

}  // namespace stator::transfer
