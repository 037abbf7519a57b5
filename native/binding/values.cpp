#include "binding/values.h"

#include <cmath>
#include <cstring>

namespace stator::binding {
namespace {

template <typename T, napi_typedarray_type Type>
View<T> view(const Napi::Value& value, const char* name, const char* typeName) {
  const bool fits = value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == Type;
  require(fits, std::string(name) + " must be a " + typeName + ".");
  const auto array = value.As<Napi::TypedArrayOf<T>>();
  return {array.Data(), array.ElementLength()};
}

template <typename Array, typename T>
Array copyOut(Napi::Env env, const T* data, size_t count) {
  auto array = Array::New(env, count);
  if (count > 0) std::memcpy(array.Data(), data, count * sizeof(T));
  return array;
}

}  // namespace

Napi::Error toError(Napi::Env env, Code code, const std::string& sentence) {
  auto error = Napi::Error::New(env, sentence);
  error.Set("code", Napi::String::New(env, codeName(code)));
  return error;
}

int64_t readInteger(const Napi::Value& value, const char* name, int64_t least, int64_t most) {
  const double number = readNumber(value, name);
  const bool fits = std::trunc(number) == number && number >= static_cast<double>(least) &&
                    number <= static_cast<double>(most);
  require(fits, std::string(name) + " must be an integer from " + std::to_string(least) + " to " +
                    std::to_string(most) + ".");
  return static_cast<int64_t>(number);
}

double readNumber(const Napi::Value& value, const char* name) {
  require(value.IsNumber(), std::string(name) + " must be a number.");
  return value.As<Napi::Number>().DoubleValue();
}

bool readBool(const Napi::Value& value, const char* name) {
  require(value.IsBoolean(), std::string(name) + " must be a boolean.");
  return value.As<Napi::Boolean>().Value();
}

std::string readText(const Napi::Value& value, const char* name) {
  require(value.IsString(), std::string(name) + " must be a string.");
  return value.As<Napi::String>().Utf8Value();
}

uint64_t readU64(const Napi::Value& value, const char* name) {
  bool lossless = false;
  const uint64_t number = value.IsBigInt() ? value.As<Napi::BigInt>().Uint64Value(&lossless) : 0;
  require(lossless, std::string(name) + " must be a bigint of 64 unsigned bits.");
  return number;
}

Napi::Object readObject(const Napi::Value& value, const char* name) {
  require(value.IsObject(), std::string(name) + " must be an object.");
  return value.As<Napi::Object>();
}

Napi::Function readFunction(const Napi::Value& value, const char* name) {
  require(value.IsFunction(), std::string(name) + " must be a function.");
  return value.As<Napi::Function>();
}

View<uint8_t> viewBytes(const Napi::Value& value, const char* name) {
  return view<uint8_t, napi_uint8_array>(value, name, "Uint8Array");
}

View<uint32_t> viewU32(const Napi::Value& value, const char* name) {
  return view<uint32_t, napi_uint32_array>(value, name, "Uint32Array");
}

View<int32_t> viewI32(const Napi::Value& value, const char* name) {
  return view<int32_t, napi_int32_array>(value, name, "Int32Array");
}

View<float> viewF32(const Napi::Value& value, const char* name) {
  return view<float, napi_float32_array>(value, name, "Float32Array");
}

View<uint64_t> viewU64(const Napi::Value& value, const char* name) {
  return view<uint64_t, napi_biguint64_array>(value, name, "BigUint64Array");
}

std::vector<int32_t> readTokens(const Napi::Value& value, const char* name) {
  const auto from = viewU32(value, name);
  std::vector<int32_t> tokens(from.size);
  if (from.size > 0) std::memcpy(tokens.data(), from.data, from.size * sizeof(int32_t));
  return tokens;
}

std::vector<int32_t> readInts(const Napi::Value& value, const char* name) {
  const auto from = viewI32(value, name);
  return {from.data, from.data + from.size};
}

Napi::Int32Array makeInts(Napi::Env env, const std::vector<int32_t>& values) {
  return copyOut<Napi::Int32Array>(env, values.data(), values.size());
}

Napi::Float32Array makeFloats(Napi::Env env, const std::vector<float>& values) {
  return copyOut<Napi::Float32Array>(env, values.data(), values.size());
}

Napi::Uint8Array makeBytes(Napi::Env env, const uint8_t* data, size_t size) {
  return copyOut<Napi::Uint8Array>(env, data, size);
}

Napi::Uint32Array makeTokens(Napi::Env env, const std::vector<int32_t>& tokens) {
  return copyOut<Napi::Uint32Array>(env, reinterpret_cast<const uint32_t*>(tokens.data()), tokens.size());
}

}  // namespace stator::binding
