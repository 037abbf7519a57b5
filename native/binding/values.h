#pragma once
#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

#include "engine/failure.h"

namespace stator::binding {

/// Runs `work` and turns a Failure into a JavaScript error with its code.
template <typename Work>
auto guarded(Napi::Env env, Work work) -> decltype(work());

/// A JavaScript error for a failure.
Napi::Error toError(Napi::Env env, Code code, const std::string& sentence);

/// The readers below throw INVALID_ARGUMENT with the name of the value when it has another type or range.
int64_t readInteger(const Napi::Value& value, const char* name, int64_t least, int64_t most);
double readNumber(const Napi::Value& value, const char* name);
bool readBool(const Napi::Value& value, const char* name);
std::string readText(const Napi::Value& value, const char* name);
uint64_t readU64(const Napi::Value& value, const char* name);
Napi::Object readObject(const Napi::Value& value, const char* name);
Napi::Function readFunction(const Napi::Value& value, const char* name);

/// A view of a typed array; valid while nothing else runs on this thread.
template <typename T>
struct View {
  const T* data = nullptr;
  size_t size = 0;
};
View<uint8_t> viewBytes(const Napi::Value& value, const char* name);
View<uint32_t> viewU32(const Napi::Value& value, const char* name);
View<int32_t> viewI32(const Napi::Value& value, const char* name);
View<float> viewF32(const Napi::Value& value, const char* name);
/// Writable, unlike the others.
View<uint64_t> viewU64(const Napi::Value& value, const char* name);

/// Token ids as the library counts them. Ids from 2^31 become negative and fail the range checks later.
std::vector<int32_t> readTokens(const Napi::Value& value, const char* name);
std::vector<int32_t> readInts(const Napi::Value& value, const char* name);

/// True when an option was given.
inline bool given(const Napi::Value& value) { return !value.IsUndefined() && !value.IsNull(); }

Napi::Int32Array makeInts(Napi::Env env, const std::vector<int32_t>& values);
Napi::Float32Array makeFloats(Napi::Env env, const std::vector<float>& values);
Napi::Uint8Array makeBytes(Napi::Env env, const uint8_t* data, size_t size);
Napi::Uint32Array makeTokens(Napi::Env env, const std::vector<int32_t>& tokens);

template <typename Work>
auto guarded(Napi::Env env, Work work) -> decltype(work()) {
  try {
    return work();
  } catch (const Failure& failure) {
    throw toError(env, failure.code, failure.what());
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw toError(env, Code::outOfMemory, "The process is out of memory.");
  } catch (const std::exception& error) {
    throw toError(env, Code::internal, error.what());
  }
}

}  // namespace stator::binding
