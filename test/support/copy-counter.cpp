// Counts the bytes that a process and those that it starts move in large pieces: loaded before all other libraries, in the
// way of the calls that move them. The counts are in a file that all share, by STATOR_COPY_COUNTER: u64 bytes each, within
// memory, then into and out of the kernel.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace {

struct Counts {
  std::atomic<uint64_t> memory, kernel;
};

/// Less is bookkeeping and no block.
constexpr size_t kLarge = 4096;

Counts* counts = nullptr;
void* (*nextMove)(void*, const void*, size_t) = nullptr;
ssize_t (*nextSend)(int, const msghdr*, int) = nullptr;
ssize_t (*nextReceive)(int, msghdr*, int) = nullptr;
ssize_t (*nextRead)(pid_t, const iovec*, unsigned long, const iovec*, unsigned long, unsigned long) = nullptr;

template <typename Call>
void find(Call& call, const char* name) {
  call = reinterpret_cast<Call>(dlsym(RTLD_NEXT, name));
}

__attribute__((constructor)) void begin() {
  find(nextSend, "sendmsg");
  find(nextReceive, "recvmsg");
  find(nextRead, "process_vm_readv");
  find(nextMove, "memmove");
  const char* path = std::getenv("STATOR_COPY_COUNTER");
  const int file = path == nullptr ? -1 : open(path, O_RDWR);
  if (file < 0) return;
  void* mapped = mmap(nullptr, sizeof(Counts), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (mapped != MAP_FAILED) counts = static_cast<Counts*>(mapped);
}

/// Before this library has begun there is nothing to hand on to.
void* plainMove(void* to, const void* from, size_t size) {
  auto* out = static_cast<volatile char*>(to);
  const auto* in = static_cast<const volatile char*>(from);
  if (out < in) {
    for (size_t at = 0; at < size; at++) out[at] = in[at];
  } else {
    for (size_t at = size; at > 0; at--) out[at - 1] = in[at - 1];
  }
  return to;
}

void* move(void* to, const void* from, size_t size) {
  if (size >= kLarge && counts != nullptr) counts->memory += size;
  return nextMove == nullptr ? plainMove(to, from, size) : nextMove(to, from, size);
}

ssize_t crossed(ssize_t bytes) {
  if (bytes >= static_cast<ssize_t>(kLarge) && counts != nullptr) counts->kernel += static_cast<uint64_t>(bytes);
  return bytes;
}

}  // namespace

extern "C" {

void* memmove(void* to, const void* from, size_t size) { return move(to, from, size); }
void* memcpy(void* to, const void* from, size_t size) { return move(to, from, size); }

ssize_t sendmsg(int socket, const msghdr* message, int flags) { return crossed(nextSend(socket, message, flags)); }
ssize_t recvmsg(int socket, msghdr* message, int flags) { return crossed(nextReceive(socket, message, flags)); }

ssize_t process_vm_readv(pid_t process, const iovec* to, unsigned long toCount, const iovec* from,
                         unsigned long fromCount, unsigned long flags) {
  return crossed(nextRead(process, to, toCount, from, fromCount, flags));
}

}  // extern "C"
