#include "binding/vocab.h"

#include <string>
#include <vector>

#include "binding/addon_data.h"

namespace stator::binding {
namespace {

struct TokenizeFlags {
  bool parseSpecial = false;
  bool addSpecial = false;
};

TokenizeFlags readFlags(const Napi::Value& value) {
  TokenizeFlags flags;
  if (!given(value)) return flags;
  const auto options = readObject(value, "options");
  const auto parse = options.Get("parseSpecial");
  const auto add = options.Get("addSpecial");
  if (given(parse)) flags.parseSpecial = readBool(parse, "parseSpecial");
  if (given(add)) flags.addSpecial = readBool(add, "addSpecial");
  return flags;
}

std::string readInput(const Napi::Value& value) {
  if (value.IsString()) return value.As<Napi::String>().Utf8Value();
  const auto bytes = viewBytes(value, "text");
  return {reinterpret_cast<const char*>(bytes.data), bytes.size};
}

}  // namespace

Napi::Function VocabWrap::define(Napi::Env env) {
  return DefineClass(env, "Vocab",
                     {InstanceMethod<&VocabWrap::tokenizeNow>("tokenize"),
                      InstanceMethod<&VocabWrap::tokenizeLater>("tokenizeAsync"),
                      InstanceMethod<&VocabWrap::pieceTable>("pieceTable"), InstanceMethod<&VocabWrap::meta>("meta"),
                      InstanceMethod<&VocabWrap::close>("close")});
}

Napi::Object VocabWrap::make(Napi::Env env, std::shared_ptr<Model> model) {
  auto object = makeWrapped(env, dataOf(env).vocab, model);
  const auto& vocab = model->vocab;
  object.Set("size", vocab.size);
  object.Set("bos", vocab.bos);
  object.Set("eos", vocab.eos);
  object.Set("eot", vocab.eot);
  object.Set("addBos", vocab.add_bos);
  object.Set("addEos", vocab.add_eos);
  const char* chatTemplate = model->api().model_chat_template(model->handle);
  object.Set("chatTemplate", chatTemplate == nullptr ? env.Undefined() : Napi::String::New(env, chatTemplate));
  return object;
}

VocabWrap::VocabWrap(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<VocabWrap>(info), model_(contentOf<std::shared_ptr<Model>>(info)) {}

const std::shared_ptr<Model>& VocabWrap::open() const {
  if (model_ == nullptr) throw Failure(Code::closed, "The vocabulary was closed.");
  return model_;
}

std::shared_ptr<Model> VocabWrap::modelOf(const Napi::Value& value) {
  const auto object = readObject(value, "library");
  require(object.InstanceOf(dataOf(value.Env()).vocab.Value()), "library must be a vocabulary of the library.");
  return Unwrap(object)->open();
}

Napi::Value VocabWrap::tokenizeNow(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto& model = open();
    const auto flags = readFlags(info[1]);
    const auto text = readInput(info[0]);
    return makeTokens(info.Env(), tokenize(*model, text.data(), text.size(), flags.addSpecial, flags.parseSpecial));
  });
}

Napi::Value VocabWrap::tokenizeLater(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto flags = readFlags(info[1]);
    return promiseOf(
        info.Env(), false,
        [model = open(), text = readInput(info[0]), flags] {
          return tokenize(*model, text.data(), text.size(), flags.addSpecial, flags.parseSpecial);
        },
        [](Napi::Env env, std::vector<int32_t> tokens) { return makeTokens(env, tokens); });
  });
}

Napi::Value VocabWrap::pieceTable(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto& model = *open();
    const auto env = info.Env();
    const auto size = static_cast<size_t>(model.vocab.size);
    auto offsets = Napi::Uint32Array::New(env, size + 1);
    auto attributes = Napi::Uint8Array::New(env, size);
    std::string bytes;
    offsets[0] = 0;
    for (size_t i = 0; i < size; i++) {
      appendPiece(model, static_cast<int32_t>(i), bytes);
      offsets[i + 1] = static_cast<uint32_t>(bytes.size());
      attributes[i] = model.api().token_attributes(model.handle, static_cast<int32_t>(i));
    }
    auto table = Napi::Object::New(env);
    table.Set("bytes", makeBytes(env, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
    table.Set("offsets", offsets);
    table.Set("attributes", attributes);
    return table;
  });
}

Napi::Value VocabWrap::meta(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    std::string value;
    if (!readMeta(*open(), readText(info[0], "key"), value)) return info.Env().Undefined();
    return Napi::String::New(info.Env(), value);
  });
}

void VocabWrap::close(const Napi::CallbackInfo&) { model_ = nullptr; }

}  // namespace stator::binding
