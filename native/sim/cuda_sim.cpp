// libcuda.so.1 without a GPU: the functions that we call, with one device that computes nothing. It is stricter than the
// driver where that helps a test: what the driver leaves undefined ends the process, and so does what is left at its end.
// Environment:
//   CUDA_SIM_FAIL       "cuInit=100,cuMemHostRegister_v2=2": these calls fail so
//   CUDA_SIM_WAIT       "5,6": before it registers memory it writes a byte to the first descriptor, and reads one from the
//                       second
//   CUDA_SIM_NO_DEVICE  there is no device
//   CUDA_SIM_LOG        a file that a line is added to for each range that is registered and unregistered
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <vector>

#include "transfer/cuda_api.h"

namespace stator::cuda {

struct ContextHandle {};

namespace {

constexpr int kInvalidValue = 1, kNotInitialized = 3, kInvalidContext = 201, kAlreadyRegistered = 712,
              kNotRegistered = 713;

struct Range {
  size_t size;
  /// Of the file that was mapped there: pages of another one are other pages.
  std::string mapping;
};

[[noreturn]] void stop(const std::string& what) {
  std::fprintf(stderr, "cuda_sim: %s\n", what.c_str());
  std::abort();
}

/// What is mapped at an address: device and inode of the file.
std::string mappingAt(uintptr_t address) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long from = 0, to = 0;
    char rights[8], offset[32], device[16], inode[32];
    const int found = std::sscanf(line.c_str(), "%lx-%lx %7s %31s %15s %31s", &from, &to, rights, offset, device, inode);
    if (found == 6 && from <= address && address < to) return std::string(device) + " " + inode;
  }
  return "nothing";
}

struct State {
  ~State() {
    if (!ranges.empty()) stop("memory is left pinned: " + std::to_string(ranges.size()) + " ranges");
    if (retained != 0) stop("the primary context is left retained: " + std::to_string(retained));
  }
  std::mutex mutex;
  bool isInitialized = false;
  int retained = 0;
  std::map<uintptr_t, Range> ranges;
};

State state;
ContextHandle primary;
thread_local std::vector<Context_t> current;

/// What a call is told to fail with, or 0.
int faultOf(const char* call) {
  const char* said = std::getenv("CUDA_SIM_FAIL");
  std::istringstream faults(said == nullptr ? "" : said);
  const std::string wanted = std::string(call) + "=";
  for (std::string each; std::getline(faults, each, ',');) {
    if (each.starts_with(wanted)) return std::atoi(each.c_str() + wanted.size());
  }
  return 0;
}

int begin(const char* call) {
  if (const int fault = faultOf(call)) return fault;
  const std::lock_guard lock(state.mutex);
  return state.isInitialized ? kSuccess : kNotInitialized;
}

void note(const char* what, uintptr_t address, size_t size) {
  const char* path = std::getenv("CUDA_SIM_LOG");
  if (path == nullptr) return;
  const std::string line = std::string(what) + " " + std::to_string(address) + " " + std::to_string(size) + "\n";
  const int file = ::open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0 || ::write(file, line.data(), line.size()) < 0) stop("its log cannot be written");
  ::close(file);
}

void awaitOther() {
  const char* said = std::getenv("CUDA_SIM_WAIT");
  int told = -1, go = -1;
  if (said == nullptr || std::sscanf(said, "%d,%d", &told, &go) != 2) return;
  char byte = 0;
  if (::write(told, &byte, 1) != 1 || ::read(go, &byte, 1) != 1) stop("who it waits for has gone");
}

}  // namespace
}  // namespace stator::cuda

using namespace stator::cuda;
#define STATOR_SIM extern "C" __attribute__((visibility("default"))) int

STATOR_SIM cuInit(unsigned flags) {
  if (const int fault = faultOf("cuInit")) return fault;
  if (flags != 0) return kInvalidValue;
  const std::lock_guard lock(state.mutex);
  state.isInitialized = true;
  return kSuccess;
}

STATOR_SIM cuGetErrorString(int error, const char** text) {
  const std::map<int, const char*> texts = {{2, "out of memory"},
                                            {100, "no CUDA-capable device is detected"},
                                            {kAlreadyRegistered, "part or all of the requested memory range is already mapped"}};
  const auto found = texts.find(error);
  *text = found == texts.end() ? nullptr : found->second;
  return *text == nullptr ? kInvalidValue : kSuccess;
}

STATOR_SIM cuDeviceGetCount(int* count) {
  if (const int fault = begin("cuDeviceGetCount")) return fault;
  *count = std::getenv("CUDA_SIM_NO_DEVICE") == nullptr ? 1 : 0;
  return kSuccess;
}

STATOR_SIM cuDeviceGet(Device_t* device, int index) {
  if (const int fault = begin("cuDeviceGet")) return fault;
  *device = 7;
  return index == 0 ? kSuccess : kInvalidValue;
}

STATOR_SIM cuDevicePrimaryCtxRetain(Context_t* context, Device_t device) {
  if (const int fault = begin("cuDevicePrimaryCtxRetain")) return fault;
  if (device != 7) return kInvalidValue;
  const std::lock_guard lock(state.mutex);
  state.retained++;
  *context = &primary;
  return kSuccess;
}

STATOR_SIM cuDevicePrimaryCtxRelease_v2(Device_t device) {
  const std::lock_guard lock(state.mutex);
  if (device != 7 || state.retained == 0) stop("a context is released that nobody has retained");
  if (--state.retained == 0 && !state.ranges.empty()) stop("the context goes while memory is pinned in it");
  return kSuccess;
}

STATOR_SIM cuCtxPushCurrent_v2(Context_t context) {
  if (const int fault = begin("cuCtxPushCurrent_v2")) return fault;
  if (context != &primary) return kInvalidContext;
  current.push_back(context);
  return kSuccess;
}

STATOR_SIM cuCtxPopCurrent_v2(Context_t* context) {
  if (current.empty()) stop("a context is taken away from a thread that has none");
  *context = current.back();
  current.pop_back();
  return kSuccess;
}

STATOR_SIM cuCtxSynchronize() { return current.empty() ? kInvalidContext : begin("cuCtxSynchronize"); }

STATOR_SIM cuMemHostRegister_v2(void* data, size_t size, unsigned flags) {
  if (const int fault = begin("cuMemHostRegister_v2")) return fault;
  if (current.empty()) return kInvalidContext;
  if (data == nullptr || size == 0 || flags != kPortable) return kInvalidValue;
  awaitOther();
  const auto address = reinterpret_cast<uintptr_t>(data);
  // As the driver does: every page is touched.
  auto* bytes = static_cast<volatile uint8_t*>(data);
  for (size_t at = 0; at < size; at += 4096) static_cast<void>(bytes[at]);
  const std::lock_guard lock(state.mutex);
  for (const auto& [other, range] : state.ranges) {
    if (address < other + range.size && other < address + size) return kAlreadyRegistered;
  }
  state.ranges[address] = {size, mappingAt(address)};
  note("pin", address, size);
  return kSuccess;
}

STATOR_SIM cuMemHostUnregister(void* data) {
  if (const int fault = begin("cuMemHostUnregister")) return fault;
  if (current.empty()) return kInvalidContext;
  const auto address = reinterpret_cast<uintptr_t>(data);
  const std::lock_guard lock(state.mutex);
  const auto found = state.ranges.find(address);
  if (found == state.ranges.end()) return kNotRegistered;
  if (mappingAt(address) != found->second.mapping) stop("memory has gone while it was pinned");
  note("unpin", address, found->second.size);
  state.ranges.erase(found);
  return kSuccess;
}
