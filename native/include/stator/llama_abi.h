#pragma once
/*
 * Our declarations of the part of llama.cpp's C ABI that libstator-llama calls, for version 0.5.0 (ggml 0.25.1) alone.
 * The link name holds the version, llama_version() and the defaults are compared at load, and native/test/abi_check.cpp
 * compares sizes and offsets with the real headers where those are at hand. Constants carry our names, functions theirs.
 */
#include <cstddef>
#include <cstdint>
#include <cstdio>

extern "C" {

struct llama_vocab;
struct llama_model;
struct llama_context;
struct llama_adapter_lora;
struct llama_sampler;
struct llama_memory_i;
struct ggml_tensor;
struct ggml_backend_device;
struct ggml_backend_reg;

struct llama_model_params {
  ggml_backend_device** devices;
  const void* tensor_buft_overrides;
  int32_t n_gpu_layers;
  int32_t split_mode;
  int32_t load_mode;
  int32_t lazy_mode;
  int32_t main_gpu;
  const float* tensor_split;
  bool (*progress_callback)(float, void*);
  void* progress_callback_user_data;
  const void* kv_overrides;
  bool vocab_only;
  bool check_tensors;
  bool use_extra_bufts;
  bool no_host;
  bool no_alloc;
  bool load_mtp;
};
static_assert(sizeof(llama_model_params) == 80);

struct llama_context_params {
  uint32_t n_ctx;
  uint32_t n_batch;
  uint32_t n_ubatch;
  uint32_t n_seq_max;
  uint32_t n_rs_seq;
  uint32_t n_outputs_max;
  uint32_t n_outputs_max_per_seq;
  int32_t n_threads;
  int32_t n_threads_batch;
  int32_t ctx_type;
  int32_t rope_scaling_type;
  int32_t pooling_type;
  int32_t attention_type;
  int32_t flash_attn_type;
  float rope_freq_base;
  float rope_freq_scale;
  float yarn_ext_factor;
  float yarn_attn_factor;
  float yarn_beta_fast;
  float yarn_beta_slow;
  uint32_t yarn_orig_ctx;
  float defrag_thold;
  void* cb_eval;
  void* cb_eval_user_data;
  int32_t type_k;
  int32_t type_v;
  bool (*abort_callback)(void*);
  void* abort_callback_data;
  bool embeddings;
  bool offload_kqv;
  bool no_perf;
  bool op_offload;
  bool swa_full;
  bool kv_unified;
  void* samplers;
  size_t n_samplers;
  llama_context* ctx_other;
};
static_assert(sizeof(llama_context_params) == 160);

struct llama_batch {
  int32_t n_tokens;
  int32_t* token;
  float* embd;
  int32_t* pos;
  int32_t* n_seq_id;
  int32_t** seq_id;
  int8_t* logits;
};
static_assert(sizeof(llama_batch) == 56);

/* What a cache writes its state to and reads it from; the library's own classes have the same virtual functions. */
struct llama_state_writer {
  virtual ~llama_state_writer() = default;
  virtual void write(const void* from, size_t size) = 0;
  virtual void write_tensor(ggml_tensor* tensor, size_t offset, size_t size) = 0;
  virtual size_t n_bytes() = 0;
};

struct llama_state_reader {
  virtual ~llama_state_reader() = default;
  virtual void read(void* to, size_t size) = 0;
  virtual void read_tensor(ggml_tensor* tensor, size_t offset, size_t size) = 0;
  virtual size_t n_bytes() = 0;
};

struct llama_token_data {
  int32_t id;
  float logit;
  float p;
};
static_assert(sizeof(llama_token_data) == 12);

struct llama_token_data_array {
  llama_token_data* data;
  size_t size;
  int64_t selected;
  bool sorted;
};
static_assert(sizeof(llama_token_data_array) == 32);

/* Result, name and parameters of every function that is called. */
#define STATOR_LLAMA_FUNCTIONS(X) \
  X(const char*, llama_version, ()) \
  X(const char*, ggml_version, ()) \
  X(void, llama_log_set, (void (*callback)(int32_t level, const char* text, void* user), void* user)) \
  X(void, llama_backend_init, ()) \
  X(ggml_backend_reg*, ggml_backend_load, (const char* path)) \
  X(void, ggml_backend_load_all_from_path, (const char* dir)) \
  X(size_t, ggml_backend_dev_count, ()) \
  X(ggml_backend_device*, ggml_backend_dev_get, (size_t index)) \
  X(const char*, ggml_backend_dev_name, (ggml_backend_device* device)) \
  X(const char*, ggml_backend_dev_description, (ggml_backend_device* device)) \
  X(void, ggml_backend_dev_memory, (ggml_backend_device* device, size_t* free, size_t* total)) \
  X(int32_t, ggml_backend_dev_type, (ggml_backend_device* device)) \
  X(llama_model_params, llama_model_default_params, ()) \
  X(llama_context_params, llama_context_default_params, ()) \
  X(llama_model*, llama_model_load_from_file, (const char* path, llama_model_params params)) \
  X(void, llama_model_free, (llama_model* model)) \
  X(const llama_vocab*, llama_model_get_vocab, (const llama_model* model)) \
  X(int32_t, llama_model_rope_type, (const llama_model* model)) \
  X(int32_t, llama_model_n_ctx_train, (const llama_model* model)) \
  X(int32_t, llama_model_n_embd, (const llama_model* model)) \
  X(int32_t, llama_model_n_embd_out, (const llama_model* model)) \
  X(int32_t, llama_model_n_layer, (const llama_model* model)) \
  X(int32_t, llama_model_n_head, (const llama_model* model)) \
  X(int32_t, llama_model_n_head_kv, (const llama_model* model)) \
  X(int32_t, llama_model_n_swa, (const llama_model* model)) \
  X(int32_t, llama_model_meta_val_str, (const llama_model* model, const char* key, char* out, size_t capacity)) \
  X(int32_t, llama_model_desc, (const llama_model* model, char* out, size_t capacity)) \
  X(uint64_t, llama_model_size, (const llama_model* model)) \
  X(uint64_t, llama_model_n_params, (const llama_model* model)) \
  X(const char*, llama_model_chat_template, (const llama_model* model, const char* name)) \
  X(bool, llama_model_has_encoder, (const llama_model* model)) \
  X(bool, llama_model_has_decoder, (const llama_model* model)) \
  X(bool, llama_model_is_recurrent, (const llama_model* model)) \
  X(bool, llama_model_is_hybrid, (const llama_model* model)) \
  X(int32_t, llama_vocab_n_tokens, (const llama_vocab* vocab)) \
  X(int32_t, llama_vocab_get_attr, (const llama_vocab* vocab, int32_t token)) \
  X(bool, llama_vocab_is_eog, (const llama_vocab* vocab, int32_t token)) \
  X(bool, llama_vocab_is_control, (const llama_vocab* vocab, int32_t token)) \
  X(int32_t, llama_vocab_bos, (const llama_vocab* vocab)) \
  X(int32_t, llama_vocab_eos, (const llama_vocab* vocab)) \
  X(int32_t, llama_vocab_eot, (const llama_vocab* vocab)) \
  X(bool, llama_vocab_get_add_bos, (const llama_vocab* vocab)) \
  X(bool, llama_vocab_get_add_eos, (const llama_vocab* vocab)) \
  X(int32_t, llama_tokenize, (const llama_vocab* vocab, const char* text, int32_t length, int32_t* out, \
    int32_t capacity, bool add_special, bool parse_special)) \
  X(int32_t, llama_token_to_piece, (const llama_vocab* vocab, int32_t token, char* out, int32_t capacity, \
    int32_t lstrip, bool special)) \
  X(llama_adapter_lora*, llama_adapter_lora_init, (llama_model* model, const char* path)) \
  X(void, llama_adapter_lora_free, (llama_adapter_lora* adapter)) \
  X(int32_t, llama_set_adapters_lora, (llama_context* context, llama_adapter_lora** adapters, size_t count, \
    float* scales)) \
  X(llama_context*, llama_init_from_model, (llama_model* model, llama_context_params params)) \
  X(void, llama_free, (llama_context* context)) \
  X(uint32_t, llama_n_ctx_seq, (const llama_context* context)) \
  X(llama_memory_i*, llama_get_memory, (const llama_context* context)) \
  X(int32_t, llama_decode, (llama_context* context, llama_batch batch)) \
  X(float*, llama_get_logits_ith, (llama_context* context, int32_t index)) \
  X(float*, llama_get_embeddings_seq, (llama_context* context, int32_t sequence)) \
  X(void, llama_memory_clear, (llama_memory_i* memory, bool data)) \
  X(bool, llama_memory_seq_rm, (llama_memory_i* memory, int32_t sequence, int32_t p0, int32_t p1)) \
  X(void, llama_memory_seq_cp, (llama_memory_i* memory, int32_t from, int32_t to, int32_t p0, int32_t p1)) \
  X(int32_t, llama_memory_seq_pos_min, (llama_memory_i* memory, int32_t sequence)) \
  X(int32_t, llama_memory_seq_pos_max, (llama_memory_i* memory, int32_t sequence)) \
  X(size_t, llama_state_seq_get_size, (llama_context* context, int32_t sequence)) \
  X(size_t, llama_state_seq_get_data, (llama_context* context, uint8_t* out, size_t size, int32_t sequence)) \
  X(size_t, llama_state_seq_set_data, (llama_context* context, const uint8_t* data, size_t size, int32_t sequence)) \
  X(void, ggml_backend_tensor_get, (const ggml_tensor* tensor, void* to, size_t offset, size_t size)) \
  X(void, ggml_backend_tensor_set, (ggml_tensor* tensor, const void* from, size_t offset, size_t size)) \
  X(void*, ggml_get_data, (const ggml_tensor* tensor)) \
  X(llama_sampler*, llama_sampler_init_grammar, (const llama_vocab* vocab, const char* grammar, const char* root)) \
  X(void, llama_sampler_apply, (llama_sampler* sampler, llama_token_data_array* candidates)) \
  X(void, llama_sampler_accept, (llama_sampler* sampler, int32_t token)) \
  X(void, llama_sampler_free, (llama_sampler* sampler))

#ifndef STATOR_ABI_TYPES_ONLY
#define STATOR_DECLARE(result, name, parameters) result name parameters;
STATOR_LLAMA_FUNCTIONS(STATOR_DECLARE)
#undef STATOR_DECLARE
#endif

}  // extern "C"

namespace stator::abi {

inline constexpr const char* kLlamaVersion = "0.5.0-dev";
inline constexpr const char* kGgmlVersion = "0.25.1";

inline constexpr int32_t kLogDebug = 1, kLogInfo = 2, kLogWarn = 3, kLogError = 4, kLogContinue = 5;
inline constexpr int32_t kLoadAuto = -1, kLoadNone = 0;
inline constexpr int32_t kPoolingUnspecified = -1;
inline constexpr int32_t kFlashOff = 0, kFlashOn = 1;
inline constexpr int32_t kTypeF16 = 1;
inline constexpr int32_t kAttrUnused = 1 << 1, kAttrControl = 1 << 3, kAttrUserDefined = 1 << 4, kAttrByte = 1 << 5;
inline constexpr int32_t kRopeMrope = 8, kRopeImrope = 40, kRopeVision = 24;

}  // namespace stator::abi
