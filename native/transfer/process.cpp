#include "transfer/process.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string>
#include <string_view>

#include "core/xxh3.h"
#include "engine/failure.h"

namespace stator::transfer {
namespace {

/// `starttime` is the 22nd field; fields are counted behind the name, which is the second and may hold anything.
constexpr int kStartField = 20;

uint64_t startOfFolder(const Descriptor& folder) {
  const Descriptor file(::openat(folder.number(), "stat", O_RDONLY | O_CLOEXEC));
  char text[1024];
  const ssize_t size = file.isOpen() ? ::read(file.number(), text, sizeof text) : -1;
  return size <= 0 ? 0 : startOf(text, static_cast<size_t>(size));
}

std::string firstLine(const char* path) {
  const Descriptor file(::open(path, O_RDONLY | O_CLOEXEC));
  char text[128];
  const ssize_t size = file.isOpen() ? ::read(file.number(), text, sizeof text) : -1;
  return size <= 0 ? std::string() : std::string(text, static_cast<size_t>(size));
}

std::string target(const char* link) {
  char text[128];
  const ssize_t size = ::readlink(link, text, sizeof text);
  return size <= 0 ? std::string() : std::string(text, static_cast<size_t>(size));
}

Descriptor openFolder(int processId) {
  const auto path = "/proc/" + std::to_string(processId);
  return Descriptor(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

}  // namespace

uint64_t startOf(const char* text, size_t size) {
  const std::string_view all(text, size);
  size_t at = all.rfind(')');
  for (int field = 0; field < kStartField && at != std::string_view::npos; field++) at = all.find(' ', at + 1);
  if (at == std::string_view::npos) return 0;
  uint64_t start = 0;
  const char* from = text + at + 1;
  const auto [end, error] = std::from_chars(from, text + size, start);
  return error == std::errc() && end != from ? start : 0;
}

ProcessIdentity ownIdentity() {
  // Numbers of processes mean the same within one space of processes; boots tell machines apart.
  const auto place = firstLine("/proc/sys/kernel/random/boot_id") + target("/proc/self/ns/pid") + target("/proc/self/ns/user");
  return {xxh3(place.data(), place.size(), 0), ::getpid(), startOfFolder(openFolder(::getpid()))};
}

ProcessWatch::ProcessWatch(int processId, uint64_t processStart)
    : processId_(processId), processStart_(processStart), folder_(openFolder(processId)) {
  if (lives()) return;
  throw Failure(Code::unsupported, "There is no process " + std::to_string(processId) + " of that start to be seen here.");
}

bool ProcessWatch::lives() const { return folder_.isOpen() && startOfFolder(folder_) == processStart_; }

Descriptor ProcessWatch::openFile(int number) const {
  const auto name = "fd/" + std::to_string(number);
  struct stat found {};
  // Looked at before it is opened: to open a pipe or a device is to do something to it.
  if (::fstatat(folder_.number(), name.c_str(), &found, 0) == 0 && S_ISREG(found.st_mode)) {
    Descriptor file(::openat(folder_.number(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (file.isOpen()) return file;
    throw Failure(Code::unsupported, std::string("The other side's memory file cannot be opened: ") + std::strerror(errno) + ".");
  }
  throw Failure(Code::unsupported, "The other side has no file open as " + std::to_string(number) + " that can be seen here.");
}

}  // namespace stator::transfer
