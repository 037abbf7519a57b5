#pragma once
#include <napi.h>

#include <memory>

#include "text/prompt.h"
#include "text/utf16.h"

namespace stator::binding {

/// What an EncoderWrap is made of.
struct OpenedEncoder {
  std::shared_ptr<text::PromptEncoder> encoder;
  /// Text that is not known is encoded at once up to so many bytes.
  size_t inlineBytes = 0;
};

/// `PromptEncoder` of lib/native/encoder.ts.
class EncoderWrap : public Napi::ObjectWrap<EncoderWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit EncoderWrap(const Napi::CallbackInfo& info);

 private:
  Napi::Value encode(const Napi::CallbackInfo& info);
  Napi::Value memoryBytes(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  const std::shared_ptr<text::PromptEncoder>& open() const;
  text::Prompt readPrompt(const Napi::CallbackInfo& info);

  OpenedEncoder opened_;
  text::Transcoder transcoder_;
  /// The memory of the last tokens, for the next.
  std::vector<uint32_t> room_;
};

/// `openEncoder` of lib/native/addon.ts.
Napi::Value openEncoder(const Napi::CallbackInfo& info);

}  // namespace stator::binding
