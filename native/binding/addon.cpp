// stator.node: what lib/native/addon.ts declares.
#include <malloc.h>

#include <napi.h>

#include <algorithm>

#include "binding/addon_data.h"
#include "binding/context.h"
#include "binding/encoder.h"
#include "binding/model.h"
#include "binding/mover.h"
#include "binding/nixl.h"
#include "binding/vocab.h"
#include "core/block_hash.h"
#include "core/random.h"
#include "core/xxh3.h"
#include "engine/library.h"

namespace stator::binding {
namespace {

/// ADDON_REVISION of lib/native/addon.ts.
constexpr int kRevision = 10;

Napi::Value hashBytes(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto bytes = viewBytes(info[0], "bytes");
    const uint64_t seed = readU64(info[1], "seed");
    return Napi::BigInt::New(info.Env(), xxh3(bytes.data, bytes.size, seed));
  });
}

Napi::Value hashTokenBlocks(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto tokens = viewU32(info[0], "tokens");
    const auto block = static_cast<size_t>(readInteger(info[1], "blockTokens", 1, 1 << 20));
    const uint64_t seed = readU64(info[2], "seed");
    const auto local = viewU64(info[3], "local");
    const auto sequence = viewU64(info[4], "sequence");
    const size_t blocks = tokens.size / block;
    require(local.size >= blocks && sequence.size >= blocks,
            "local and sequence must hold " + std::to_string(blocks) + " values.");
    hashBlocks(tokens.data, tokens.size, block, seed, const_cast<uint64_t*>(local.data),
               const_cast<uint64_t*>(sequence.data));
    return Napi::Number::New(info.Env(), static_cast<double>(blocks));
  });
}

Napi::Value hashTokenContents(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto tokens = viewU32(info[0], "tokens");
    const auto block = static_cast<size_t>(readInteger(info[1], "blockTokens", 1, 1 << 20));
    const auto ahead = static_cast<size_t>(readInteger(info[2], "aheadTokens", 0, 1));
    const uint64_t seed = readU64(info[3], "seed");
    const size_t complete = (tokens.size - std::min(tokens.size, ahead)) / block;
    const auto to = static_cast<size_t>(readInteger(info[5], "to", 0, static_cast<int64_t>(complete)));
    const auto from = static_cast<size_t>(readInteger(info[4], "from", 0, static_cast<int64_t>(to)));
    const auto local = viewU64(info[6], "local");
    require(local.size >= to, "local must hold " + std::to_string(to) + " values.");
    BlockObjects objects{};
    if (given(info[7])) {
      const auto named = readObject(info[7], "objects");
      const auto blocks = viewU32(named.Get("blocks"), "blocks");
      const auto hashes = viewU64(named.Get("hashes"), "hashes");
      require(blocks.size == hashes.size, "blocks and hashes must be as many.");
      require(std::is_sorted(blocks.data, blocks.data + blocks.size), "blocks must be ascending.");
      objects = {blocks.data, hashes.data, blocks.size};
    }
    hashContents({tokens.data, block, ahead, seed}, from, to, objects, const_cast<uint64_t*>(local.data));
    return info.Env().Undefined();
  });
}

Napi::Value drawUniform(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const uint64_t seed = readU64(info[0], "seed");
    const auto choice = static_cast<uint32_t>(readInteger(info[1], "choice", 0, UINT32_MAX));
    const auto position = static_cast<uint32_t>(readInteger(info[2], "position", 0, UINT32_MAX));
    const auto lane = given(info[3]) ? readInteger(info[3], "lane", 0, 1) : 0;
    return Napi::Number::New(info.Env(), uniformDraw(seed, choice, position, static_cast<Lane>(lane)));
  });
}

Napi::Array makeDevices(Napi::Env env, const stator_llama_api& api) {
  constexpr const char* kinds[] = {"cpu", "gpu", "igpu", "accelerator", "meta"};
  const int32_t count = api.device_count();
  auto devices = Napi::Array::New(env);
  for (int32_t i = 0; i < count; i++) {
    stator_device device{};
    api.device(i, &device);
    auto each = Napi::Object::New(env);
    each.Set("name", device.name);
    each.Set("description", device.description);
    each.Set("kind", kinds[device.kind >= 0 && device.kind <= 4 ? device.kind : 3]);
    each.Set("memoryBytes", static_cast<double>(device.memory_bytes));
    each.Set("freeBytes", static_cast<double>(device.free_bytes));
    devices[static_cast<uint32_t>(i)] = each;
  }
  return devices;
}

Napi::Array loadBackends(Napi::Env env, Library& library, const Napi::Value& paths) {
  auto out = Napi::Array::New(env);
  if (!given(paths)) return out;
  require(paths.IsArray(), "backends must be an array.");
  const auto list = paths.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); i++) {
    const auto path = readText(list.Get(i), "A back end's path");
    const auto reason = library.loadBackend(path);
    auto each = Napi::Object::New(env);
    each.Set("path", path);
    each.Set("loaded", reason.empty());
    if (!reason.empty()) each.Set("reason", reason);
    out[i] = each;
  }
  return out;
}

Napi::Value openLlama(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto env = info.Env();
    const auto options = readObject(info[0], "options");
    const auto library = openLibrary(readText(options.Get("libDir"), "libDir"),
                                     readText(options.Get("engineLibrary"), "engineLibrary"));
    auto llama = Napi::Object::New(env);
    llama.Set("llamaVersion", library->api->llama_version());
    llama.Set("ggmlVersion", library->api->ggml_version());
    llama.Set("backends", loadBackends(env, *library, options.Get("backends")));
    llama.Set("devices", makeDevices(env, *library->api));
    llama.Set("openVocab", Napi::Function::New(env, [library](const Napi::CallbackInfo& call) {
                return openVocab(call, library);
              }));
    llama.Set("loadModel", Napi::Function::New(env, [library](const Napi::CallbackInfo& call) {
                return loadModel(call, library);
              }));
    llama.Set("drainLog", Napi::Function::New(env, [library](const Napi::CallbackInfo& call) -> Napi::Value {
                const auto lines = library->log.drain();
                auto out = Napi::Array::New(call.Env(), lines.size());
                for (uint32_t i = 0; i < lines.size(); i++) out[i] = Napi::String::New(call.Env(), lines[i]);
                return out;
              }));
    return llama;
  });
}

void trimMemory(const Napi::CallbackInfo&) { malloc_trim(0); }

}  // namespace

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  auto data = std::make_unique<AddonData>(env);
  data->vocab = Napi::Persistent(VocabWrap::define(env));
  data->model = Napi::Persistent(ModelWrap::define(env));
  data->context = Napi::Persistent(ContextWrap::define(env));
  data->encoder = Napi::Persistent(EncoderWrap::define(env));
  data->mover = Napi::Persistent(MoverWrap::define(env));
  data->nixl = Napi::Persistent(NixlWrap::define(env));
  env.SetInstanceData(data.release());
  exports.Set("revision", kRevision);
  exports.Set("xxh3", Napi::Function::New<hashBytes>(env));
  exports.Set("hashBlocks", Napi::Function::New<hashTokenBlocks>(env));
  exports.Set("hashContents", Napi::Function::New<hashTokenContents>(env));
  exports.Set("uniformDraw", Napi::Function::New<drawUniform>(env));
  exports.Set("trimMemory", Napi::Function::New<trimMemory>(env));
  exports.Set("openEncoder", Napi::Function::New<openEncoder>(env));
  exports.Set("openMover", Napi::Function::New<openMover>(env));
  exports.Set("probeNixl", Napi::Function::New<probeNixl>(env));
  exports.Set("openLlama", Napi::Function::New<openLlama>(env));
  return exports;
}

}  // namespace stator::binding

using stator::binding::initialize;
NODE_API_MODULE(stator, initialize)
