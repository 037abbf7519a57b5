#include "binding/nixl.h"

#include <string>
#include <utility>
#include <vector>

#include "binding/addon_data.h"
#include "transfer/nixl_source.h"

namespace stator::binding {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 46;
constexpr int64_t kMostPieces = 4096;

std::vector<uint8_t> readBlob(const Napi::Value& value, const char* name) {
  const auto bytes = viewBytes(value, name);
  return {bytes.data, bytes.data + bytes.size};
}

std::vector<std::pair<std::string, std::string>> readParameters(const Napi::Value& value) {
  std::vector<std::pair<std::string, std::string>> parameters;
  if (!given(value)) return parameters;
  const auto object = readObject(value, "parameters");
  const auto names = object.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); i++) {
    const auto name = names.Get(i).ToString().Utf8Value();
    parameters.emplace_back(name, readText(object.Get(name), "A parameter"));
  }
  return parameters;
}

nixl::AgentOptions readOptions(const Napi::Object& from) {
  nixl::AgentOptions options;
  options.name = readText(from.Get("name"), "name");
  require(!options.name.empty() && options.name.size() <= 64, "name must have from 1 to 64 bytes.");
  options.backend = readText(from.Get("backend"), "backend");
  options.parameters = readParameters(from.Get("parameters"));
  const auto count = [&](const char* name, int64_t most) {
    return static_cast<size_t>(readInteger(from.Get(name), name, 1, most));
  };
  options.pieceBytes = count("pieceBytes", kMostBytes);
  options.peerPieces = count("peerPieces", kMostPieces);
  options.mostPieces = count("mostPieces", kMostPieces);
  return options;
}

Napi::Value makeBlob(Napi::Env env, const std::vector<uint8_t>& blob) { return makeBytes(env, blob.data(), blob.size()); }

/// Brings what the agent's thread hears to a function of the program. It dies on the event loop.
struct Listener {
  Reactor& reactor;
  Napi::FunctionReference function;

  static nixl::OnNotice make(Napi::Env env, const Napi::Value& value) {
    if (!given(value)) return nullptr;
    auto& reactor = dataOf(env).reactor;
    auto* made = new Listener{reactor, Napi::Persistent(readFunction(value, "onNotice"))};
    std::shared_ptr<Listener> kept(made, [&reactor](Listener* last) {
      reactor.deliver([last](Napi::Env) { delete last; });
    });
    return [kept](std::string from, std::vector<uint8_t> content) {
      kept->reactor.deliver([kept, from = std::move(from), content = std::move(content)](Napi::Env later) {
        kept->function.Call({Napi::String::New(later, from), makeBlob(later, content)});
      });
    };
  }
};

}  // namespace

Napi::Function NixlWrap::define(Napi::Env env) {
  return DefineClass(env, "Nixl",
                     {InstanceMethod<&NixlWrap::registerRegion>("registerRegion"),
                      InstanceMethod<&NixlWrap::unregisterRegion>("unregisterRegion"),
                      InstanceMethod<&NixlWrap::openPeer>("openPeer"), InstanceMethod<&NixlWrap::notify>("notify"),
                      InstanceMethod<&NixlWrap::close>("close")});
}

NixlWrap::NixlWrap(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<NixlWrap>(info), opened_(contentOf<OpenedNixl>(info)) {}

Napi::Value NixlWrap::open(Napi::Env env, const std::shared_ptr<MoverState>& mover, const Napi::CallbackInfo& info) {
  const auto from = readObject(info[0], "options");
  const auto library = nixl::openLibrary(readText(from.Get("library"), "library"));
  return promiseOf(
      env, true,
      [library, options = readOptions(from), listener = Listener::make(env, info[1])] {
        return std::make_shared<nixl::Agent>(library, options, listener);
      },
      [mover](Napi::Env later, const std::shared_ptr<nixl::Agent>& agent) -> Napi::Value {
        mover->keepNixl(agent);
        OpenedNixl opened{mover, agent};
        return makeWrapped(later, dataOf(later).nixl, opened);
      });
}

Napi::Value NixlWrap::registerRegion(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto region = opened_.mover->region(static_cast<uint32_t>(readInteger(info[0], "region", 0, UINT32_MAX)));
    using Registered = std::pair<uint64_t, std::vector<uint8_t>>;
    return promiseOf(
        info.Env(), true,
        [agent = opened_.agent, region]() -> Registered {
          const auto id = agent->registerRegion(region);
          return {id, agent->metadata()};
        },
        [](Napi::Env later, const Registered& registered) {
          auto out = Napi::Object::New(later);
          out.Set("registration", static_cast<double>(registered.first));
          out.Set("metadata", makeBlob(later, registered.second));
          return out;
        });
  });
}

Napi::Value NixlWrap::unregisterRegion(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto id = static_cast<uint64_t>(readInteger(info[0], "registration", 1, INT32_MAX));
    return promiseOf(
        info.Env(), true,
        [agent = opened_.agent, id] {
          agent->unregister(id);
          return 0;
        },
        [](Napi::Env later, int) { return later.Undefined(); });
  });
}

Napi::Value NixlWrap::openPeer(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto address = readU64(info[1], "address");
    const auto size = static_cast<size_t>(readInteger(info[2], "sizeBytes", 1, kMostBytes));
    require(address <= UINT64_MAX - size, "address must lie within an address space.");
    return promiseOf(
        info.Env(), false,
        [agent = opened_.agent, metadata = readBlob(info[0], "metadata"), address, size] {
          auto remote = agent->openRemote(metadata);
          return std::make_shared<nixl::PeerSource>(agent, std::move(remote), address, size);
        },
        [mover = opened_.mover](Napi::Env later, std::shared_ptr<nixl::PeerSource> source) {
          return Napi::Number::New(later, mover->addSource(std::move(source)));
        });
  });
}

Napi::Value NixlWrap::notify(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto id = static_cast<uint32_t>(readInteger(info[0], "source", 0, UINT32_MAX));
    const auto source = std::dynamic_pointer_cast<nixl::PeerSource>(opened_.mover->source(id, false));
    require(source != nullptr, "The memory of others is not NIXL's.");
    return promiseOf(
        info.Env(), false,
        [agent = opened_.agent, source, content = readBlob(info[1], "content")] {
          agent->notify(source->remote(), content);
          return 0;
        },
        [](Napi::Env later, int) { return later.Undefined(); });
  });
}

Napi::Value NixlWrap::close(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return promiseOf(
        info.Env(), true,
        [agent = opened_.agent] {
          agent->close();
          return 0;
        },
        [](Napi::Env later, int) { return later.Undefined(); });
  });
}

Napi::Value probeNixl(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return promiseOf(
        info.Env(), true,
        [library = nixl::openLibrary(readText(info[0], "path"))] { return nixl::pluginsOf(*library); },
        [](Napi::Env later, const std::vector<std::string>& plugins) {
          auto out = Napi::Array::New(later, plugins.size());
          for (uint32_t i = 0; i < plugins.size(); i++) out[i] = Napi::String::New(later, plugins[i]);
          return out;
        });
  });
}

}  // namespace stator::binding
