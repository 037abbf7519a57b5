#include "transfer/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cstdint>
#include <string>

#include "engine/failure.h"

// Older C libraries do not name them.
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

namespace stator::transfer {
namespace {

constexpr int64_t kTemporaryFiles = 0x01021994;
constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW;

[[noreturn]] void refuse(const std::string& what) {
  throw Failure(Code::unsupported, "The other side's memory file cannot be used: " + what + ".");
}

}  // namespace

Descriptor openMemoryFile(size_t sizeBytes) {
  Descriptor file(::memfd_create("stator-blocks", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL));
  if (!file.isOpen()) file = Descriptor(::memfd_create("stator-blocks", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (file.isOpen() && ::ftruncate(file.number(), static_cast<off_t>(sizeBytes)) != 0) file.reset();
  return file;
}

void sealMemoryFile(const Descriptor& file) {
  ::fcntl(file.number(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
  ::fcntl(file.number(), F_ADD_SEALS, kSizeSeals | F_SEAL_SEAL);
}

void checkMemoryFile(const Descriptor& file, size_t sizeBytes) {
  struct stat found {};
  if (::fstat(file.number(), &found) != 0 || !S_ISREG(found.st_mode)) refuse("it is not a file");
  struct statfs system {};
  // A file of huge pages may be sealed too, and has none when they are used up.
  if (::fstatfs(file.number(), &system) != 0 || system.f_type != kTemporaryFiles) refuse("it is none in memory");
  const int seals = ::fcntl(file.number(), F_GET_SEALS);
  if (seals < 0 || (seals & kSizeSeals) != kSizeSeals) refuse("its size is not sealed");
  if (static_cast<uint64_t>(found.st_size) != sizeBytes) {
    refuse("it has " + std::to_string(found.st_size) + " bytes, not " + std::to_string(sizeBytes));
  }
}

}  // namespace stator::transfer
