// The methods of MoverWrap: what they are given is checked here.
#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "binding/addon_data.h"
#include "binding/mover.h"
#include "binding/nixl.h"
#include "transfer/cuda_driver.h"
#include "transfer/memory_source.h"
#include "transfer/process.h"

namespace stator::binding {

using namespace transfer;

namespace {

constexpr int64_t kMostBytes = int64_t{1} << 46;
constexpr int64_t kMostBlocks = int64_t{1} << 16;
/// A day: what is later overflows nothing.
constexpr int64_t kMostMs = 86'400'000;

uint32_t readId(const Napi::Value& value, const char* name) {
  return static_cast<uint32_t>(readInteger(value, name, 0, UINT32_MAX));
}

size_t readBytes(const Napi::Value& value, const char* name) {
  return static_cast<size_t>(readInteger(value, name, 1, kMostBytes));
}

uint16_t readPort(const Napi::Value& value) { return static_cast<uint16_t>(readInteger(value, "port", 0, UINT16_MAX)); }

std::chrono::milliseconds readMs(const Napi::Value& value, const char* name) {
  return std::chrono::milliseconds(readInteger(value, name, 0, kMostMs));
}

ProcessWatch readProcess(const Napi::CallbackInfo& info) {
  return {static_cast<int>(readInteger(info[0], "processId", 0, INT32_MAX)), readU64(info[1], "processStart")};
}

/// Where blocks begin in a memory of so many bytes.
std::vector<uint64_t> readOffsets(const Napi::Value& value, const char* name, size_t blockBytes, size_t memoryBytes) {
  const auto offsets = viewU64(value, name);
  require(blockBytes <= memoryBytes, "A block is longer than the memory.");
  for (size_t i = 0; i < offsets.size; i++) {
    require(offsets.data[i] <= memoryBytes - blockBytes, std::string(name) + " must lie within the memory.");
  }
  return {offsets.data, offsets.data + offsets.size};
}

}  // namespace

Napi::Function MoverWrap::define(Napi::Env env) {
  return DefineClass(env, "Mover",
                     {InstanceMethod<&MoverWrap::identity>("identity"),
                      InstanceMethod<&MoverWrap::openRegion>("openRegion"),
                      InstanceMethod<&MoverWrap::closeRegion>("closeRegion"),
                      InstanceMethod<&MoverWrap::pinRegion>("pinRegion"),
                      InstanceMethod<&MoverWrap::openShared>("openShared"),
                      InstanceMethod<&MoverWrap::openProcess>("openProcess"),
                      InstanceMethod<&MoverWrap::connect>("connect"),
                      InstanceMethod<&MoverWrap::closeSource>("closeSource"),
                      InstanceMethod<&MoverWrap::listen>("listen"),
                      InstanceMethod<&MoverWrap::closeSocket>("closeSocket"),
                      InstanceMethod<&MoverWrap::copy>("copy"),
                      InstanceMethod<&MoverWrap::cancel>("cancel"),
                      InstanceMethod<&MoverWrap::openNixl>("openNixl"),
                      InstanceMethod<&MoverWrap::close>("close")});
}

MoverWrap::MoverWrap(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<MoverWrap>(info), state_(contentOf<std::shared_ptr<MoverState>>(info)) {}

MoverState& MoverWrap::open() const {
  if (state_->isClosed()) throw Failure(Code::closed, "The mover was closed.");
  return *state_;
}

Napi::Value MoverWrap::identity(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto own = ownIdentity();
    auto out = Napi::Object::New(info.Env());
    out.Set("host", Napi::BigInt::New(info.Env(), own.host));
    out.Set("processId", own.processId);
    out.Set("processStart", Napi::BigInt::New(info.Env(), own.processStart));
    return out;
  });
}

Napi::Value MoverWrap::openRegion(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto env = info.Env();
    const auto region = open().openRegion(readBytes(info[0], "sizeBytes"));
    // The memory is mapped for as long as JavaScript can reach it.
    auto* kept = new std::shared_ptr<Region>(region);
    const auto buffer = Napi::ArrayBuffer::New(
        env, region->data(), region->sizeBytes(),
        [](Napi::BasicEnv, void*, std::shared_ptr<Region>* last) { delete last; }, kept);
    auto out = Napi::Object::New(env);
    out.Set("id", region->id());
    out.Set("bytes", Napi::Uint8Array::New(env, region->sizeBytes(), buffer, 0));
    if (region->memoryFile() >= 0) out.Set("memoryFile", region->memoryFile());
    out.Set("address", Napi::BigInt::New(env, reinterpret_cast<uint64_t>(region->data())));
    return out;
  });
}

void MoverWrap::closeRegion(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { state_->closeRegion(readId(info[0], "region")); });
}

Napi::Value MoverWrap::pinRegion(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto region = open().region(readId(info[0], "region"));
    return promiseOf(
        info.Env(), true,
        [region = std::move(region), path = readText(info[1], "driver")] {
          const auto driver = cuda::openDriver(path);
          region->hold([&](uint8_t* data, size_t size) { return cuda::pin(driver, data, size); });
          return 0;
        },
        [](Napi::Env later, int) { return later.Undefined(); });
  });
}

Napi::Value MoverWrap::openShared(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto& state = open();
    const auto file = static_cast<int>(readInteger(info[2], "memoryFile", 0, INT32_MAX));
    const auto size = readBytes(info[3], "sizeBytes");
    auto source = std::make_shared<SharedSource>(readProcess(info), file, size, state.threads());
    return Napi::Number::New(info.Env(), state.addSource(std::move(source)));
  });
}

Napi::Value MoverWrap::openProcess(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto& state = open();
    const auto address = readU64(info[2], "address");
    const auto size = readBytes(info[3], "sizeBytes");
    require(address <= UINT64_MAX - size, "address must lie within an address space.");
    auto source = std::make_shared<ProcessSource>(readProcess(info), address, size, state.threads());
    return Napi::Number::New(info.Env(), state.addSource(std::move(source)));
  });
}

Napi::Value MoverWrap::connect(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto address = parseAddress(readText(info[0], "host"), readPort(info[1]));
    const auto token = viewBytes(info[2], "token");
    require(token.size == kTokenBytes, "token must have 16 bytes.");
    Hello hello{{}, readId(info[3], "region"), readBytes(info[4], "sizeBytes")};
    std::copy_n(token.data, kTokenBytes, hello.token.begin());
    return open().connect(address, hello, Clock::now() + readMs(info[5], "deadlineMs"));
  });
}

void MoverWrap::closeSource(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { state_->closeSource(readId(info[0], "source")); });
}

Napi::Value MoverWrap::listen(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const uint32_t id = open().listen(readText(info[0], "host"), readPort(info[1]));
    const auto& socket = open().socket(id);
    auto out = Napi::Object::New(info.Env());
    out.Set("id", id);
    out.Set("port", socket.port());
    out.Set("token", makeBytes(info.Env(), socket.token().data(), socket.token().size()));
    return out;
  });
}

void MoverWrap::closeSocket(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { state_->closeSocket(readId(info[0], "socket")); });
}

Napi::Value MoverWrap::copy(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto& state = open();
    const auto job = readObject(info[0], "job");
    const auto source = state.source(readId(job.Get("from"), "from"), readBool(job.Get("isRegion"), "isRegion"));
    CopyOrder order;
    order.to = state.region(readId(job.Get("to"), "to"));
    order.blockBytes = readBytes(job.Get("blockBytes"), "blockBytes");
    order.fromOffsets = readOffsets(job.Get("fromOffsets"), "fromOffsets", order.blockBytes, source->sizeBytes());
    order.toOffsets = readOffsets(job.Get("toOffsets"), "toOffsets", order.blockBytes, order.to->sizeBytes());
    const size_t blocks = order.fromOffsets.size();
    require(blocks > 0 && blocks <= kMostBlocks, "A job has from 1 to " + std::to_string(kMostBlocks) + " blocks.");
    require(order.toOffsets.size() == blocks, "toOffsets must be as many as fromOffsets.");
    if (given(job.Get("checksums"))) {
      const auto checksums = viewU64(job.Get("checksums"), "checksums");
      require(checksums.size == blocks, "checksums must be as many as fromOffsets.");
      order.checksums.assign(checksums.data, checksums.data + blocks);
    }
    order.deadline = Clock::now() + readMs(job.Get("deadlineMs"), "deadlineMs");
    return Napi::Number::New(info.Env(), state.copy(source, std::move(order), readFunction(info[1], "done")));
  });
}

void MoverWrap::cancel(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { state_->cancel(readId(info[0], "job")); });
}

Napi::Value MoverWrap::openNixl(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    open();
    return NixlWrap::open(info.Env(), state_, info);
  });
}

void MoverWrap::close(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { state_->close(); });
}

Napi::Value openMover(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto options = readObject(info[0], "options");
    ServerLimits limits;
    limits.readers = static_cast<size_t>(readInteger(options.Get("readers"), "readers", 1, 1 << 16));
    limits.hello = readMs(options.Get("helloMs"), "helloMs");
    limits.stall = readMs(options.Get("stallMs"), "stallMs");
    const auto threads = static_cast<size_t>(readInteger(options.Get("copyThreads"), "copyThreads", 1, 64));
    auto state = std::make_shared<MoverState>(info.Env(), threads, limits);
    return makeWrapped(info.Env(), dataOf(info.Env()).mover, state);
  });
}

}  // namespace stator::binding
