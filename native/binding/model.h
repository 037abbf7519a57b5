#pragma once
#include <napi.h>

#include <map>
#include <memory>

#include "engine/model.h"

namespace stator::binding {

/// A model with the adapters loaded beside it; used on the event loop's thread alone.
struct ModelState {
  std::shared_ptr<Model> model;
  std::map<int64_t, std::shared_ptr<Adapter>> adapters;
  int64_t nextAdapter = 0;
};

/// `Model` of lib/native/llama.ts.
class ModelWrap : public Napi::ObjectWrap<ModelWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  static Napi::Object make(Napi::Env env, std::shared_ptr<Model> model);
  explicit ModelWrap(const Napi::CallbackInfo& info);

 private:
  Napi::Value vocab(const Napi::CallbackInfo& info);
  Napi::Value meta(const Napi::CallbackInfo& info);
  Napi::Value openContext(const Napi::CallbackInfo& info);
  Napi::Value loadAdapter(const Napi::CallbackInfo& info);
  void unloadAdapter(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  const std::shared_ptr<ModelState>& open() const;

  std::shared_ptr<ModelState> state_;
};

/// `Llama.loadModel` and `Llama.openVocab`.
Napi::Value loadModel(const Napi::CallbackInfo& info, const std::shared_ptr<Library>& library);
Napi::Value openVocab(const Napi::CallbackInfo& info, const std::shared_ptr<Library>& library);

}  // namespace stator::binding
