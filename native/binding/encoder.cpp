#include "binding/encoder.h"

#include <string>
#include <utility>
#include <vector>

#include "binding/addon_data.h"
#include "binding/vocab.h"
#include "engine/library_encoder.h"

namespace stator::binding {
namespace {

/// Room for so many tokens is kept from call to call.
constexpr size_t kKeptTokens = size_t{1} << 18;
constexpr int64_t kMostBytes = int64_t{1} << 40;

/// A part of so many is the memory beyond the ids of a whole text.
constexpr size_t kRoomShare = 8;

/// Bits of a special token, as TOKEN_BIT of lib/text/special.ts has them.
constexpr int64_t kOfTemplate = 1 | 32;
constexpr int64_t kStripsLeft = 64;
constexpr int64_t kStripsRight = 128;

/// What the thread that opens an encoder works on. The references keep the arrays that the vocabulary borrows; they die
/// on the event loop.
struct OpenOrder {
  std::vector<Napi::ObjectReference> kept;
  std::string pre;
  text::Vocabulary vocabulary;
  std::vector<text::SpecialToken> specials;
  text::Frame frame;
  size_t wordBytes = 0;
  size_t inlineBytes = 0;
  /// The library's vocabulary, where that is to encode.
  std::shared_ptr<Model> library;
};

text::Kind readKind(const Napi::Value& value) {
  const auto name = readText(value, "kind");
  if (name == "gpt2") return text::Kind::bytePair;
  if (name == "gemma4") return text::Kind::gemmaPair;
  if (name == "llama") return text::Kind::scoreMerge;
  if (name == "bert") return text::Kind::wordPiece;
  if (name == "t5") return text::Kind::unigram;
  throw Failure(Code::unsupported, "A vocabulary of the kind " + name + " is not known.");
}

/// Strings of a file. Every place is checked, since native code trusts them from here on.
text::Strings readStrings(const Napi::Object& from, OpenOrder& order, const char* name) {
  const auto bytes = viewBytes(from.Get("bytes"), name);
  const auto starts = viewU32(from.Get("starts"), name);
  const auto ends = viewU32(from.Get("ends"), name);
  require(starts.size == ends.size && starts.size <= INT32_MAX, std::string(name) + " must have as many ends as starts.");
  for (size_t i = 0; i < starts.size; i++) {
    require(starts.data[i] <= ends.data[i] && ends.data[i] <= bytes.size, std::string(name) + " must lie in their bytes.");
  }
  for (const auto* field : {"bytes", "starts", "ends"}) {
    order.kept.push_back(Napi::Persistent(from.Get(field).As<Napi::Object>()));
  }
  return {bytes.data, starts.data, ends.data, starts.size};
}

/// An array with one value per token.
template <typename T>
const T* readPerToken(const Napi::Value& value, OpenOrder& order, View<T> (*view)(const Napi::Value&, const char*),
                      const char* name) {
  const auto values = view(value, name);
  require(values.size >= order.vocabulary.texts.size, std::string(name) + " must have a value for each token.");
  order.kept.push_back(Napi::Persistent(value.As<Napi::Object>()));
  return values.data;
}

void readVocabulary(const Napi::Object& from, OpenOrder& order) {
  auto& vocabulary = order.vocabulary;
  order.pre = readText(from.Get("pre"), "pre");
  vocabulary.kind = readKind(from.Get("kind"));
  vocabulary.texts = readStrings(readObject(from.Get("texts"), "texts"), order, "texts");
  vocabulary.types = readPerToken<int32_t>(from.Get("types"), order, viewI32, "types");
  if (given(from.Get("scores"))) vocabulary.scores = readPerToken<float>(from.Get("scores"), order, viewF32, "scores");
  if (given(from.Get("merges"))) {
    vocabulary.merges = readStrings(readObject(from.Get("merges"), "merges"), order, "merges");
  }
  const auto size = static_cast<int64_t>(vocabulary.texts.size);
  if (given(from.Get("unknown"))) {
    vocabulary.unknown = static_cast<int32_t>(readInteger(from.Get("unknown"), "unknown", 0, size - 1));
  }
  vocabulary.addSpacePrefix = readBool(from.Get("addSpacePrefix"), "addSpacePrefix");
  vocabulary.removeExtraSpaces = readBool(from.Get("removeExtraSpaces"), "removeExtraSpaces");
  vocabulary.lowercase = readBool(from.Get("lowercase"), "lowercase");
  vocabulary.stripAccents = readBool(from.Get("stripAccents"), "stripAccents");
  const auto map = from.Get("characterMap");
  if (given(map)) {
    const auto bytes = viewBytes(map, "characterMap");
    vocabulary.characterMap = {reinterpret_cast<const char*>(bytes.data), bytes.size};
    order.kept.push_back(Napi::Persistent(map.As<Napi::Object>()));
  }
}

std::vector<text::SpecialToken> readSpecials(const Napi::Value& value, size_t size) {
  require(value.IsArray(), "specials must be an array.");
  const auto list = value.As<Napi::Array>();
  std::vector<text::SpecialToken> specials;
  specials.reserve(list.Length());
  for (uint32_t i = 0; i < list.Length(); i++) {
    const auto each = readObject(list.Get(i), "A special token");
    const auto id = readInteger(each.Get("id"), "id", 0, static_cast<int64_t>(size) - 1);
    const auto bits = readInteger(each.Get("bits"), "bits", 0, 255);
    specials.push_back({static_cast<uint32_t>(id), readText(each.Get("text"), "text"), (bits & kOfTemplate) != 0,
                        (bits & kStripsLeft) != 0, (bits & kStripsRight) != 0});
  }
  return specials;
}

std::optional<uint32_t> readToken(const Napi::Value& value, const char* name, size_t size) {
  if (!given(value)) return std::nullopt;
  return static_cast<uint32_t>(readInteger(value, name, 0, static_cast<int64_t>(size) - 1));
}

OpenOrder readOrder(const Napi::CallbackInfo& info) {
  OpenOrder order;
  readVocabulary(readObject(info[0], "vocabulary"), order);
  const auto options = readObject(info[1], "options");
  const size_t size = order.vocabulary.texts.size;
  order.specials = readSpecials(options.Get("specials"), size);
  order.frame = {readToken(options.Get("first"), "first", size), readToken(options.Get("last"), "last", size)};
  const auto bytes = [&](const char* name) {
    return static_cast<size_t>(readInteger(options.Get(name), name, 0, kMostBytes));
  };
  order.wordBytes = bytes("wordBytes");
  order.inlineBytes = bytes("inlineBytes");
  const auto vocab = options.Get("library");
  if (given(vocab)) order.library = VocabWrap::modelOf(vocab);
  return order;
}

/// Numbers that tell of one cut.
constexpr size_t kCutNumbers = 5;

/// `NativeEncoding` of lib/native/addon.ts.
Napi::Object makeEncoding(Napi::Env env, const text::Prompt& prompt, const text::Encoding& encoding, bool inUnits) {
  const auto& [tokens, cuts] = encoding;
  // Of a whole text some memory more, so that the ids of the next turn are written behind these and none is copied.
  const size_t room = prompt.before == text::Before::nothing ? tokens.size() / kRoomShare : 0;
  const auto memory = Napi::ArrayBuffer::New(env, (tokens.size() + room) * sizeof(uint32_t));
  auto ids = Napi::Uint32Array::New(env, tokens.size(), memory, 0);
  std::copy(tokens.begin(), tokens.end(), ids.Data());
  auto places = Napi::Uint32Array::New(env, cuts.size() * kCutNumbers);
  auto* at = places.Data();
  size_t end = 0;
  size_t units = 0;
  for (const auto& cut : cuts) {
    units += text::countUnits(prompt.text.substr(end, cut.end - end));
    end = cut.end;
    const size_t ahead = inUnits ? text::countUnits(prompt.text.substr(end, cut.ahead)) : cut.ahead;
    for (const size_t each : {units, end, cut.tokens, ahead, static_cast<size_t>(cut.before)}) {
      *at++ = static_cast<uint32_t>(each);
    }
  }
  auto made = Napi::Object::New(env);
  made.Set("ids", ids);
  made.Set("cuts", places);
  return made;
}

/// Units of a string, which are written to `out`.
size_t readUnits(Napi::Env env, const Napi::Value& value, char16_t* out, size_t room) {
  size_t count = 0;
  // The call writes a NUL behind them.
  if (napi_get_value_string_utf16(env, value, out, room, &count) != napi_ok) {
    throw Failure(Code::invalidArgument, "text must be a string, strings, or a Uint8Array.");
  }
  return count;
}

/// A text in one piece or several, in the transcoder's units; how many.
size_t readPieces(const Napi::Value& value, text::Transcoder& transcoder) {
  const auto env = value.Env();
  std::vector<Napi::Value> pieces;
  if (value.IsArray()) {
    const auto list = value.As<Napi::Array>();
    pieces.reserve(list.Length());
    for (uint32_t i = 0; i < list.Length(); i++) pieces.push_back(list.Get(i));
  } else {
    pieces.push_back(value);
  }
  size_t total = 1;
  for (const auto& piece : pieces) total += readUnits(env, piece, nullptr, 0);
  require(total <= INT32_MAX / 3, "text must not be longer than 2^31 - 1 bytes.");
  auto* units = transcoder.units(total);
  size_t at = 0;
  for (const auto& piece : pieces) at += readUnits(env, piece, units + at, total - at);
  return at;
}

/// A prompt that outlives its call.
struct OwnedPrompt {
  std::string text;
  text::Prompt prompt;
};

}  // namespace

Napi::Function EncoderWrap::define(Napi::Env env) {
  return DefineClass(env, "PromptEncoder",
                     {InstanceMethod<&EncoderWrap::encode>("encode"),
                      InstanceMethod<&EncoderWrap::memoryBytes>("memoryBytes"),
                      InstanceMethod<&EncoderWrap::close>("close")});
}

EncoderWrap::EncoderWrap(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<EncoderWrap>(info), opened_(contentOf<OpenedEncoder>(info)) {}

const std::shared_ptr<text::PromptEncoder>& EncoderWrap::open() const {
  if (opened_.encoder == nullptr) throw Failure(Code::closed, "The encoder was closed.");
  return opened_.encoder;
}

/// The text of a call, borrowed until the next one.
text::Prompt EncoderWrap::readPrompt(const Napi::CallbackInfo& info) {
  const auto places = viewU32(info[1], "content");
  require(places.size % 2 == 0 && std::is_sorted(places.data, places.data + places.size),
          "content must have a start and an end of each part, ascending.");
  text::Prompt prompt;
  prompt.isChat = readBool(info[2], "isChat");
  prompt.before = static_cast<text::Before>(readInteger(info[3], "before", 0, 2));
  if (info[0].IsTypedArray()) {
    const auto bytes = viewBytes(info[0], "text");
    require(bytes.size <= INT32_MAX, "text must not be longer than 2^31 - 1 bytes.");
    prompt.text = {reinterpret_cast<const char*>(bytes.data), bytes.size};
    prompt.content = text::bytePlaces(prompt.text, places.data, places.size);
  } else {
    const size_t units = readPieces(info[0], transcoder_);
    prompt.text = transcoder_.utf8(units, places.data, places.size, prompt.content);
  }
  return prompt;
}

Napi::Value EncoderWrap::encode(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto encoder = open();
    const auto prompt = readPrompt(info);
    const bool inUnits = !info[0].IsTypedArray();
    if (prompt.text.size() <= opened_.inlineBytes) {
      auto encoding = encoder->encode(prompt, std::move(room_));
      const auto made = makeEncoding(info.Env(), prompt, encoding, inUnits);
      room_ = std::move(encoding.tokens);
      if (room_.capacity() > kKeptTokens) room_ = {};
      transcoder_.trim();
      return made;
    }
    const auto owned = std::make_shared<OwnedPrompt>();
    owned->text = prompt.text;
    owned->prompt = prompt;
    owned->prompt.text = owned->text;
    transcoder_.trim();
    return promiseOf(
        info.Env(), false, [encoder, owned] { return encoder->encode(owned->prompt); },
        [owned, inUnits](Napi::Env env, const text::Encoding& encoding) {
          return makeEncoding(env, owned->prompt, encoding, inUnits);
        });
  });
}

Napi::Value EncoderWrap::memoryBytes(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::Number::New(info.Env(), static_cast<double>(open()->memoryBytes()));
  });
}

void EncoderWrap::close(const Napi::CallbackInfo&) { opened_.encoder = nullptr; }

Napi::Value openEncoder(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto order = std::make_shared<OpenOrder>(readOrder(info));
    // Only now does the name stay where it is.
    order->vocabulary.pre = order->pre;
    return promiseOf(
        info.Env(), true,
        [order] {
          auto plain = order->library ? makeLibraryEncoder(order->library) : text::makePlainEncoder(order->vocabulary);
          auto encoder = std::make_shared<text::PromptEncoder>(
              std::move(plain), text::Specials(std::move(order->specials)), order->frame, order->wordBytes);
          return OpenedEncoder{std::move(encoder), order->inlineBytes};
        },
        [](Napi::Env env, OpenedEncoder opened) { return makeWrapped(env, dataOf(env).encoder, opened); });
  });
}

}  // namespace stator::binding
