// Compares our declarations of llama.cpp's ABI with its real headers; compiled only where those are at hand.
// Everything is a static assertion: a program that compiles has passed.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <type_traits>

#include "ggml-backend.h"
#include "ggml.h"
#include "llama.h"

#define STATOR_ABI_TYPES_ONLY
namespace ours {
#include "stator/llama_abi.h"
}

namespace {

/// Two parameter or result types are passed alike: both pointers, or scalars of one size and kind, or equal in size.
template <typename A, typename B>
constexpr bool passedAlike() {
  if constexpr (std::is_pointer_v<A> || std::is_pointer_v<B>) {
    return std::is_pointer_v<A> && std::is_pointer_v<B>;
  } else if constexpr (std::is_void_v<A> || std::is_void_v<B>) {
    return std::is_void_v<A> && std::is_void_v<B>;
  } else if constexpr (std::is_class_v<A> || std::is_class_v<B>) {
    return std::is_class_v<A> && std::is_class_v<B> && sizeof(A) == sizeof(B);
  } else {
    return sizeof(A) == sizeof(B) && std::is_floating_point_v<A> == std::is_floating_point_v<B> &&
           std::is_same_v<A, bool> == std::is_same_v<B, bool>;
  }
}

template <typename A, typename B>
struct Alike : std::false_type {};
template <typename RA, typename... A, typename RB, typename... B>
  requires(sizeof...(A) == sizeof...(B))
struct Alike<RA(A...), RB(B...)> : std::bool_constant<passedAlike<RA, RB>() && (passedAlike<A, B>() && ...)> {};

#define SAME_FIELD(type, field)                                               \
  static_assert(offsetof(ours::type, field) == offsetof(::type, field), #field); \
  static_assert(sizeof(ours::type::field) == sizeof(::type::field), #field);

}  // namespace

namespace ours {
#define DECLARED(result, name, parameters) using name##_t = result parameters;
STATOR_LLAMA_FUNCTIONS(DECLARED)
}  // namespace ours
#define COMPARE(result, name, parameters) static_assert(Alike<ours::name##_t, decltype(::name)>::value, #name);
STATOR_LLAMA_FUNCTIONS(COMPARE)

#define SAME_SIZE(type) static_assert(sizeof(ours::type) == sizeof(::type) && alignof(ours::type) == alignof(::type))
SAME_SIZE(llama_model_params);
SAME_SIZE(llama_context_params);
SAME_SIZE(llama_batch);
SAME_SIZE(llama_token_data);
SAME_SIZE(llama_token_data_array);

#define MODEL(field) SAME_FIELD(llama_model_params, field)
MODEL(devices)
MODEL(tensor_buft_overrides)
MODEL(n_gpu_layers)
MODEL(split_mode)
MODEL(load_mode)
MODEL(lazy_mode)
MODEL(main_gpu)
MODEL(tensor_split)
MODEL(progress_callback)
MODEL(progress_callback_user_data)
MODEL(kv_overrides)
MODEL(vocab_only)
MODEL(check_tensors)
MODEL(use_extra_bufts)
MODEL(no_host)
MODEL(no_alloc)
MODEL(load_mtp)

#define CONTEXT(field) SAME_FIELD(llama_context_params, field)
CONTEXT(n_ctx)
CONTEXT(n_batch)
CONTEXT(n_ubatch)
CONTEXT(n_seq_max)
CONTEXT(n_rs_seq)
CONTEXT(n_outputs_max)
CONTEXT(n_outputs_max_per_seq)
CONTEXT(n_threads)
CONTEXT(n_threads_batch)
CONTEXT(ctx_type)
CONTEXT(rope_scaling_type)
CONTEXT(pooling_type)
CONTEXT(attention_type)
CONTEXT(flash_attn_type)
CONTEXT(rope_freq_base)
CONTEXT(rope_freq_scale)
CONTEXT(yarn_ext_factor)
CONTEXT(yarn_attn_factor)
CONTEXT(yarn_beta_fast)
CONTEXT(yarn_beta_slow)
CONTEXT(yarn_orig_ctx)
CONTEXT(defrag_thold)
CONTEXT(cb_eval)
CONTEXT(cb_eval_user_data)
CONTEXT(type_k)
CONTEXT(type_v)
CONTEXT(abort_callback)
CONTEXT(abort_callback_data)
CONTEXT(embeddings)
CONTEXT(offload_kqv)
CONTEXT(no_perf)
CONTEXT(op_offload)
CONTEXT(swa_full)
CONTEXT(kv_unified)
CONTEXT(samplers)
CONTEXT(n_samplers)
CONTEXT(ctx_other)

#define BATCH(field) SAME_FIELD(llama_batch, field)
BATCH(n_tokens)
BATCH(token)
BATCH(embd)
BATCH(pos)
BATCH(n_seq_id)
BATCH(seq_id)
BATCH(logits)

SAME_FIELD(llama_token_data, id)
SAME_FIELD(llama_token_data, logit)
SAME_FIELD(llama_token_data, p)
SAME_FIELD(llama_token_data_array, data)
SAME_FIELD(llama_token_data_array, size)
SAME_FIELD(llama_token_data_array, selected)
SAME_FIELD(llama_token_data_array, sorted)

namespace constants = ours::stator::abi;
static_assert(constants::kLogDebug == GGML_LOG_LEVEL_DEBUG && constants::kLogInfo == GGML_LOG_LEVEL_INFO);
static_assert(constants::kLogWarn == GGML_LOG_LEVEL_WARN && constants::kLogError == GGML_LOG_LEVEL_ERROR);
static_assert(constants::kLogContinue == GGML_LOG_LEVEL_CONT);
static_assert(constants::kLoadAuto == LLAMA_LOAD_MODE_AUTO && constants::kLoadNone == LLAMA_LOAD_MODE_NONE);
static_assert(constants::kPoolingUnspecified == LLAMA_POOLING_TYPE_UNSPECIFIED);
static_assert(constants::kFlashOff == LLAMA_FLASH_ATTN_TYPE_DISABLED);
static_assert(constants::kFlashOn == LLAMA_FLASH_ATTN_TYPE_ENABLED);
static_assert(constants::kTypeF16 == GGML_TYPE_F16);
static_assert(constants::kAttrUnused == LLAMA_TOKEN_ATTR_UNUSED && constants::kAttrControl == LLAMA_TOKEN_ATTR_CONTROL);
static_assert(constants::kAttrUserDefined == LLAMA_TOKEN_ATTR_USER_DEFINED);
static_assert(constants::kAttrByte == LLAMA_TOKEN_ATTR_BYTE);
static_assert(constants::kRopeMrope == LLAMA_ROPE_TYPE_MROPE && constants::kRopeImrope == LLAMA_ROPE_TYPE_IMROPE);
static_assert(constants::kRopeVision == LLAMA_ROPE_TYPE_VISION);

int main() {
  std::puts("1 passed, 0 failed");
  return 0;
}
