#pragma once
#include <cstddef>

/// What we call of the CUDA driver, declared by us: the toolkit is not needed where this is built. The functions are in every
/// driver since CUDA 7.0; names are those that the library exports, some of them with the number of a later form.
namespace stator::cuda {

constexpr int kSuccess = 0;
/// Memory is pinned for all contexts of the process, not for the current one alone.
constexpr unsigned kPortable = 1;

using Device_t = int;
using Context_t = struct ContextHandle*;

/// X(name, arguments). Each returns a CUresult: 0, or a number that cuGetErrorString knows.
#define STATOR_CUDA_FUNCTIONS(X)                                  \
  X(cuInit, (unsigned flags))                                     \
  X(cuGetErrorString, (int error, const char** text))             \
  X(cuDeviceGetCount, (int* count))                               \
  X(cuDeviceGet, (Device_t * device, int index))                  \
  X(cuDevicePrimaryCtxRetain, (Context_t * context, Device_t device)) \
  X(cuDevicePrimaryCtxRelease_v2, (Device_t device))              \
  X(cuCtxPushCurrent_v2, (Context_t context))                     \
  X(cuCtxPopCurrent_v2, (Context_t * context))                    \
  X(cuCtxSynchronize, ())                                         \
  X(cuMemHostRegister_v2, (void* data, size_t size, unsigned flags)) \
  X(cuMemHostUnregister, (void* data))

/// The library's functions.
struct Api {
#define STATOR_CUDA_MEMBER(name, arguments) int(*name) arguments = nullptr;
  STATOR_CUDA_FUNCTIONS(STATOR_CUDA_MEMBER)
#undef STATOR_CUDA_MEMBER
};

}  // namespace stator::cuda
