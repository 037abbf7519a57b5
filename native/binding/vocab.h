#pragma once
#include <napi.h>

#include <memory>

#include "engine/model.h"

namespace stator::binding {

/// `Vocab` of lib/native/llama.ts.
class VocabWrap : public Napi::ObjectWrap<VocabWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  static Napi::Object make(Napi::Env env, std::shared_ptr<Model> model);
  explicit VocabWrap(const Napi::CallbackInfo& info);
  /// The vocabulary behind an object of ours; throws INVALID_ARGUMENT for any other value.
  static std::shared_ptr<Model> modelOf(const Napi::Value& value);

 private:
  Napi::Value tokenizeNow(const Napi::CallbackInfo& info);
  Napi::Value tokenizeLater(const Napi::CallbackInfo& info);
  Napi::Value pieceTable(const Napi::CallbackInfo& info);
  Napi::Value meta(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  const std::shared_ptr<Model>& open() const;

  std::shared_ptr<Model> model_;
};

}  // namespace stator::binding
