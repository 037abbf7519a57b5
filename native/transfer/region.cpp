#include "transfer/region.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <exception>

#include "engine/failure.h"
#include "transfer/memory_file.h"

namespace stator::transfer {
namespace {

uint8_t* mapMemory(size_t sizeBytes, int file) {
  const int kind = file >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
  void* data = ::mmap(nullptr, sizeBytes, PROT_READ | PROT_WRITE, kind | MAP_NORESERVE, file, 0);
  return data == MAP_FAILED ? nullptr : static_cast<uint8_t*>(data);
}

size_t machineBytes() {
  return static_cast<size_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

std::shared_ptr<Region> Region::open(uint32_t id, size_t sizeBytes) {
  // Address space is there for more; the first touches of it would end the process.
  const bool fits = sizeBytes <= machineBytes();
  Descriptor file = fits ? openMemoryFile(sizeBytes) : Descriptor();
  uint8_t* data = file.isOpen() ? mapMemory(sizeBytes, file.number()) : nullptr;
  if (data == nullptr) {
    file.reset();
    data = fits ? mapMemory(sizeBytes, -1) : nullptr;
  }
  if (data == nullptr) {
    throw Failure(Code::outOfMemory, "There is no memory for a region of " + std::to_string(sizeBytes) + " bytes.");
  }
  // Fewer page faults and less to pin for whoever reads it; where it is not to be had, small pages do.
  ::madvise(data, sizeBytes, MADV_HUGEPAGE);
  if (file.isOpen()) sealMemoryFile(file);
  return std::shared_ptr<Region>(new Region(id, data, sizeBytes, std::move(file)));
}

Region::~Region() {
  hold_ = nullptr;
  ::munmap(data_, sizeBytes_);
}

void Region::hold(const std::function<std::unique_ptr<Hold>(uint8_t* data, size_t sizeBytes)>& take) {
  {
    const std::lock_guard lock(mutex_);
    if (gone_) throw Failure(Code::closed, "The region was closed.");
    require(!isTaking_ && hold_ == nullptr, "The region's pages are held already.");
    isTaking_ = true;
  }
  std::unique_ptr<Hold> taken;
  std::exception_ptr failed;
  try {
    taken = take(data_, sizeBytes_);
  } catch (...) {
    failed = std::current_exception();
  }
  const std::lock_guard lock(mutex_);
  isTaking_ = false;
  hold_ = std::move(taken);
  if (gone_) letGo();
  if (failed != nullptr) std::rethrow_exception(failed);
  if (gone_) throw Failure(Code::closed, "The region was closed.");
}

void Region::giveBack() {
  const std::lock_guard lock(mutex_);
  gone_ = true;
  if (!isTaking_) letGo();
}

void Region::letGo() {
  hold_ = nullptr;
  // Other memory at the same place: an engine that still writes there, or a socket that still sends, meets no fault.
  ::mmap(data_, sizeBytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  file_.reset();
}

void RegionTable::add(const std::shared_ptr<Region>& region) {
  const std::lock_guard lock(mutex_);
  regions_.emplace(region->id(), region);
}

void RegionTable::remove(uint32_t id) {
  const std::lock_guard lock(mutex_);
  regions_.erase(id);
}

std::shared_ptr<Region> RegionTable::find(uint32_t id) const {
  const std::lock_guard lock(mutex_);
  const auto found = regions_.find(id);
  return found == regions_.end() ? nullptr : found->second;
}

}  // namespace stator::transfer
