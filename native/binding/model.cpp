#include "binding/model.h"

#include <atomic>
#include <string>
#include <utility>

#include "binding/addon_data.h"
#include "binding/context.h"
#include "binding/vocab.h"

namespace stator::binding {
namespace {

/// Brings progress to the event loop, where the program may also have aborted its signal by then.
class LoadWatch {
 public:
  LoadWatch(Napi::Env env, const Napi::Value& onProgress, const Napi::Value& signal) : reactor_(dataOf(env).reactor) {
    if (given(onProgress)) onProgress_ = Napi::Persistent(readFunction(onProgress, "onProgress"));
    if (given(signal)) signal_ = Napi::Persistent(readObject(signal, "signal"));
    checkSignal();
  }

  /// On the loading thread; every percent is one event.
  static bool step(float ratio, void* user) {
    auto& watch = *static_cast<std::shared_ptr<LoadWatch>*>(user)->get();
    const int percent = static_cast<int>(ratio * 100);
    if (percent != watch.lastPercent_) {
      watch.lastPercent_ = percent;
      watch.reactor_.deliver([self = *static_cast<std::shared_ptr<LoadWatch>*>(user), ratio](Napi::Env env) {
        self->checkSignal();
        if (!self->onProgress_.IsEmpty() && !self->stopped_) self->onProgress_.Call({Napi::Number::New(env, ratio)});
      });
    }
    return !watch.stopped_ && !watch.reactor_.ending();
  }

  bool stopped() const { return stopped_; }

 private:
  void checkSignal() {
    if (!signal_.IsEmpty() && signal_.Value().Get("aborted").ToBoolean()) stopped_ = true;
  }

  Reactor& reactor_;
  Napi::FunctionReference onProgress_;
  Napi::ObjectReference signal_;
  std::atomic<bool> stopped_{false};
  int lastPercent_ = -1;
};

int32_t headDimension(const Model& model, const char* name) {
  std::string architecture, value;
  if (readMeta(model, "general.architecture", architecture) &&
      readMeta(model, architecture + ".attention." + name, value)) {
    return std::atoi(value.c_str());
  }
  return model.info.heads > 0 ? model.info.embedding / model.info.heads : 0;
}

}  // namespace

Napi::Function ModelWrap::define(Napi::Env env) {
  return DefineClass(
      env, "Model",
      {InstanceMethod<&ModelWrap::vocab>("vocab"), InstanceMethod<&ModelWrap::meta>("meta"),
       InstanceMethod<&ModelWrap::openContext>("openContext"), InstanceMethod<&ModelWrap::loadAdapter>("loadAdapter"),
       InstanceMethod<&ModelWrap::unloadAdapter>("unloadAdapter"), InstanceMethod<&ModelWrap::close>("close")});
}

Napi::Object ModelWrap::make(Napi::Env env, std::shared_ptr<Model> model) {
  auto object = makeWrapped(env, dataOf(env).model, model);
  const auto& info = model->info;
  object.Set("layers", info.layers);
  object.Set("embedding", info.embedding);
  object.Set("heads", info.heads);
  object.Set("kvHeads", info.kv_heads);
  object.Set("headDimK", headDimension(*model, "key_length"));
  object.Set("headDimV", headDimension(*model, "value_length"));
  object.Set("trainContextTokens", info.train_context_tokens);
  object.Set("vocabSize", model->vocab.size);
  object.Set("recurrent", info.recurrent);
  object.Set("hybrid", info.hybrid);
  object.Set("encoder", info.encoder);
  object.Set("decoder", info.decoder);
  object.Set("windowTokens", info.window_tokens);
  object.Set("sizeBytes", static_cast<double>(info.size_bytes));
  object.Set("parameters", static_cast<double>(info.parameters));
  char description[256] = "";
  model->api().model_description(model->handle, {description, sizeof description});
  object.Set("description", description);
  return object;
}

ModelWrap::ModelWrap(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<ModelWrap>(info), state_(std::make_shared<ModelState>()) {
  state_->model = contentOf<std::shared_ptr<Model>>(info);
}

const std::shared_ptr<ModelState>& ModelWrap::open() const {
  if (state_ == nullptr) throw Failure(Code::closed, "The model was closed.");
  return state_;
}

Napi::Value ModelWrap::vocab(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value { return VocabWrap::make(info.Env(), open()->model); });
}

Napi::Value ModelWrap::meta(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    std::string value;
    if (!readMeta(*open()->model, readText(info[0], "key"), value)) return info.Env().Undefined();
    return Napi::String::New(info.Env(), value);
  });
}

Napi::Value ModelWrap::openContext(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return ContextWrap::open(info.Env(), open(), info[0], info[1]); });
}

Napi::Value ModelWrap::loadAdapter(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return promiseOf(
        info.Env(), true,
        [model = open()->model, path = readText(info[0], "path")] { return openAdapter(model, path); },
        [state = open()](Napi::Env env, std::shared_ptr<Adapter> adapter) {
          const int64_t id = state->nextAdapter++;
          state->adapters.emplace(id, std::move(adapter));
          return Napi::Number::New(env, static_cast<double>(id));
        });
  });
}

void ModelWrap::unloadAdapter(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    const int64_t id = readInteger(info[0], "adapter", 0, int64_t{1} << 52);
    require(open()->adapters.erase(id) > 0, "There is no adapter " + std::to_string(id) + ".");
  });
}

void ModelWrap::close(const Napi::CallbackInfo&) { state_ = nullptr; }

Napi::Value loadModel(const Napi::CallbackInfo& info, const std::shared_ptr<Library>& library) {
  return guarded(info.Env(), [&] {
    ModelRequest request;
    request.path = readText(info[0], "path");
    Napi::Value onProgress = info.Env().Undefined();
    Napi::Value signal = info.Env().Undefined();
    if (given(info[1])) {
      const auto options = readObject(info[1], "options");
      const Napi::Value layers = options.Get("gpuLayers");
      const Napi::Value mmap = options.Get("mmap");
      if (given(layers)) request.gpuLayers = static_cast<int32_t>(readInteger(layers, "gpuLayers", -1, 100000));
      if (given(mmap)) request.mmap = readBool(mmap, "mmap");
      const Napi::Value plain = options.Get("plainKernels");
      if (given(plain)) request.plainKernels = readBool(plain, "plainKernels");
      onProgress = options.Get("onProgress");
      signal = options.Get("signal");
    }
    const auto watch = std::make_shared<LoadWatch>(info.Env(), onProgress, signal);
    return promiseOf(
        info.Env(), true,
        [library, request, watch] {
          auto watched = watch;
          auto watching = request;
          watching.progress = LoadWatch::step;
          watching.progressUser = &watched;
          if (watch->stopped()) throw Failure(Code::aborted, "Loading " + request.path + " was stopped.");
          return openModel(library, watching);
        },
        // The watch travels on: its references must die on the event loop.
        [watch](Napi::Env env, std::shared_ptr<Model> model) { return ModelWrap::make(env, std::move(model)); });
  });
}

Napi::Value openVocab(const Napi::CallbackInfo& info, const std::shared_ptr<Library>& library) {
  return guarded(info.Env(), [&] {
    ModelRequest request;
    request.path = readText(info[0], "path");
    request.vocabOnly = true;
    return promiseOf(
        info.Env(), true, [library, request] { return openModel(library, request); },
        [](Napi::Env env, std::shared_ptr<Model> model) { return VocabWrap::make(env, std::move(model)); });
  });
}

}  // namespace stator::binding
