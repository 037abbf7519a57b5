#include "transfer/cuda_driver.h"

#include <dlfcn.h>

#include <map>
#include <mutex>
#include <utility>

#include "engine/failure.h"

namespace stator::cuda {
namespace {

template <typename Function>
void find(void* handle, const char* name, Function*& out, std::string& lacking) {
  out = reinterpret_cast<Function*>(dlsym(handle, name));
  if (out == nullptr && lacking.empty()) lacking = name;
}

std::shared_ptr<const Driver> openNew(const std::string& path) {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) throw Failure(Code::libraryMissing, "There is no CUDA driver: " + std::string(dlerror()) + ".");
  auto driver = std::make_shared<Driver>();
  driver->path = path;
  std::string lacking;
#define STATOR_CUDA_FIND(name, arguments) find(handle, #name, driver->api.name, lacking);
  STATOR_CUDA_FUNCTIONS(STATOR_CUDA_FIND)
#undef STATOR_CUDA_FIND
  if (!lacking.empty()) throw Failure(Code::libraryMismatch, "The CUDA driver " + path + " lacks " + lacking + ".");
  return driver;
}

void check(const Api& api, int result, const char* call) {
  if (result == kSuccess) return;
  const char* text = nullptr;
  if (api.cuGetErrorString(result, &text) != kSuccess || text == nullptr) text = "an error that it does not know";
  throw Failure(Code::unsupported, "The CUDA driver refuses " + std::string(call) + ": " + text + " (" +
                                       std::to_string(result) + ").");
}

/// The context that the whole process shares on a device; kept while this lives.
class PrimaryContext {
 public:
  explicit PrimaryContext(const Api& api) : api_(api) {
    check(api, api.cuInit(0), "cuInit");
    int devices = 0;
    check(api, api.cuDeviceGetCount(&devices), "cuDeviceGetCount");
    if (devices == 0) throw Failure(Code::unsupported, "The CUDA driver has no device.");
    // Any one will do: what is pinned is so for all of them.
    check(api, api.cuDeviceGet(&device_, 0), "cuDeviceGet");
    check(api, api.cuDevicePrimaryCtxRetain(&context_, device_), "cuDevicePrimaryCtxRetain");
  }
  ~PrimaryContext() { api_.cuDevicePrimaryCtxRelease_v2(device_); }
  PrimaryContext(const PrimaryContext&) = delete;
  PrimaryContext& operator=(const PrimaryContext&) = delete;

  /// Makes calls in it on this thread, which has its own context back afterwards.
  template <typename Calls>
  void run(Calls calls) const {
    check(api_, api_.cuCtxPushCurrent_v2(context_), "cuCtxPushCurrent");
    const int result = calls();
    Context_t mine = nullptr;
    api_.cuCtxPopCurrent_v2(&mine);
    check(api_, result, "to pin memory");
  }

 private:
  const Api& api_;
  Device_t device_ = 0;
  Context_t context_ = nullptr;
};

class Pin : public transfer::Hold {
 public:
  Pin(std::shared_ptr<const Driver> driver, void* data, size_t sizeBytes)
      : driver_(std::move(driver)), context_(driver_->api), data_(data) {
    context_.run([&] { return driver_->api.cuMemHostRegister_v2(data, sizeBytes, kPortable); });
  }

  ~Pin() override {
    try {
      context_.run([this] {
        // A copy that still runs would go on in pages of somebody else.
        driver_->api.cuCtxSynchronize();
        return driver_->api.cuMemHostUnregister(data_);
      });
    } catch (const Failure&) {
      // The driver has ended with the process, or its context is broken: it copies nothing any more.
    }
  }

 private:
  const std::shared_ptr<const Driver> driver_;
  const PrimaryContext context_;
  void* const data_;
};

}  // namespace

std::shared_ptr<const Driver> openDriver(const std::string& path) {
  // Process-wide on purpose, as the library's own state is.
  static std::mutex mutex;
  static auto* const opened = new std::map<std::string, std::shared_ptr<const Driver>>();
  const std::lock_guard lock(mutex);
  auto& driver = (*opened)[path];
  if (driver == nullptr) driver = openNew(path);
  return driver;
}

std::unique_ptr<transfer::Hold> pin(std::shared_ptr<const Driver> driver, void* data, size_t sizeBytes) {
  return std::make_unique<Pin>(std::move(driver), data, sizeBytes);
}

}  // namespace stator::cuda
