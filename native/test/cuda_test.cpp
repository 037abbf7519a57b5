#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "engine/failure.h"
#include "test/check.h"
#include "transfer/cuda_driver.h"

namespace {

using stator::Failure;
using stator::cuda::openDriver;
using stator::transfer::Hold;
using stator::transfer::Region;

constexpr size_t kSize = 1 << 20;

std::string simPath() {
  const char* path = std::getenv("STATOR_CUDA_SIM");
  return path == nullptr ? "" : path;
}

/// A variable of the look-alike for as long as this lives.
struct Said {
  Said(const char* name, const std::string& value) : name(name) { ::setenv(name, value.c_str(), 1); }
  ~Said() { ::unsetenv(name); }
  const char* name;
};

std::unique_ptr<Hold> pin(void* data, size_t size) { return stator::cuda::pin(openDriver(simPath()), data, size); }

template <typename Work>
std::string failureOf(Work work) {
  try {
    work();
    return "none";
  } catch (const Failure& failure) {
    return std::string(stator::codeName(failure.code)) + " " + failure.what();
  }
}

/// Two pipes: the look-alike says that it is about to register, and goes on when it is told.
struct Meeting {
  Meeting() {
    if (::pipe(told) != 0 || ::pipe(go) != 0) throw std::runtime_error("no pipe");
  }
  ~Meeting() {
    for (const int each : {told[0], told[1], go[0], go[1]}) ::close(each);
  }
  std::string said() const { return std::to_string(told[1]) + "," + std::to_string(go[0]); }
  void await() const {
    char byte = 0;
    CHECK(::read(told[0], &byte, 1) == 1);
  }
  void release() const { CHECK(::write(go[1], "g", 1) == 1); }
  int told[2], go[2];
};

}  // namespace

TEST(a_cuda_driver_is_missing_with_a_reason) {
  CHECK(failureOf([] { openDriver("/nowhere/libcuda.so.1"); })
            .starts_with("LIBRARY_MISSING There is no CUDA driver: /nowhere/libcuda.so.1: cannot open"));
  CHECK(failureOf([] { openDriver("libm.so.6"); }) == "LIBRARY_MISMATCH The CUDA driver libm.so.6 lacks cuInit.");
  CHECK(openDriver(simPath()) == openDriver(simPath()));
}

TEST(memory_is_pinned_until_its_hold_ends) {
  const auto region = Region::open(1, kSize);
  region->hold(pin);
  // The look-alike refuses a second one, which the region does not come to.
  CHECK(failureOf([&] { pin(region->data() + 4096, 4096); }).find("already mapped (712)") != std::string::npos);
  CHECK(failureOf([&] { region->hold(pin); }) == "INVALID_ARGUMENT The region's pages are held already.");
  std::memset(region->data(), 7, kSize);
  // It ends the process where memory goes before it is unregistered.
  region->giveBack();
  CHECK(region->data()[5] == 0);
  CHECK(failureOf([&] { region->hold(pin); }) == "CLOSED The region was closed.");
  // Without being given back, too.
  Region::open(2, kSize)->hold(pin);
}

TEST(what_the_cuda_driver_refuses_leaves_nothing_behind) {
  const auto region = Region::open(1, kSize);
  const std::pair<const char*, const char*> cases[] = {
      {"cuInit=100", "UNSUPPORTED The CUDA driver refuses cuInit: no CUDA-capable device is detected (100)."},
      {"cuDeviceGetCount=9", "UNSUPPORTED The CUDA driver refuses cuDeviceGetCount: an error that it does not know (9)."},
      {"cuDeviceGet=9", "UNSUPPORTED The CUDA driver refuses cuDeviceGet: an error that it does not know (9)."},
      {"cuDevicePrimaryCtxRetain=2", "UNSUPPORTED The CUDA driver refuses cuDevicePrimaryCtxRetain: out of memory (2)."},
      {"cuCtxPushCurrent_v2=9", "UNSUPPORTED The CUDA driver refuses cuCtxPushCurrent: an error that it does not know (9)."},
      {"cuMemHostRegister_v2=2", "UNSUPPORTED The CUDA driver refuses to pin memory: out of memory (2)."},
  };
  for (const auto& [fault, sentence] : cases) {
    const Said said("CUDA_SIM_FAIL", fault);
    CHECK(failureOf([&] { region->hold(pin); }) == sentence);
  }
  {
    const Said said("CUDA_SIM_NO_DEVICE", "1");
    CHECK(failureOf([&] { region->hold(pin); }) == "UNSUPPORTED The CUDA driver has no device.");
  }
  // The next attempt finds all as it was.
  region->hold(pin);
}

TEST(a_region_that_is_given_back_while_it_is_pinned_goes_when_that_is_done) {
  for (const bool fails : {false, true}) {
    const Meeting meeting;
    const Said wait("CUDA_SIM_WAIT", meeting.said());
    auto region = Region::open(1, kSize);
    std::memset(region->data(), 7, kSize);
    std::string told;
    std::thread pinning([&] {
      told = failureOf([&] {
        region->hold([&](uint8_t* data, size_t size) {
          auto hold = pin(data, size);
          if (fails) throw Failure(stator::Code::unsupported, "No.");
          return hold;
        });
      });
    });
    meeting.await();
    CHECK(failureOf([&] { region->hold(pin); }) == "INVALID_ARGUMENT The region's pages are held already.");
    // Waits for nobody, and the memory is still there.
    region->giveBack();
    CHECK(region->isGone() && region->data()[5] == 7);
    meeting.release();
    pinning.join();
    CHECK(told == (fails ? "UNSUPPORTED No." : "CLOSED The region was closed."));
    CHECK(region->data()[5] == 0);
  }
}

TEST(regions_are_pinned_side_by_side) {
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < 4; i++) {
    threads.emplace_back([i] {
      for (uint32_t round = 0; round < 20; round++) {
        const auto region = Region::open(i, kSize / 4);
        region->hold(pin);
        if (round % 2 == 0) region->giveBack();
      }
    });
  }
  for (auto& each : threads) each.join();
}
