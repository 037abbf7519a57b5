// libstator-llama: llama.cpp behind the table of include/stator/llama_api.h. Nothing is decided here; every call is one
// or two calls of the library, with exceptions and structures kept inside.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "stator/llama_abi.h"
#include "stator/llama_api.h"

using namespace stator::abi;

struct stator_model {
  llama_model* model;
  const llama_vocab* vocab;
};

struct stator_adapter {
  llama_adapter_lora* adapter;
};

struct stator_grammar {
  llama_sampler* sampler;
  std::vector<llama_token_data> candidates;
};

struct stator_context {
  llama_context* context;
  llama_memory_i* memory;
  std::vector<int32_t> ones;
  std::vector<int32_t*> sequences;
};

namespace {

void say(stator_text out, const char* text) {
  if (out.capacity == 0) return;
  std::strncpy(out.data, text, out.capacity - 1);
  out.data[out.capacity - 1] = 0;
}

stator_log_fn logTarget = nullptr;
void* logUser = nullptr;

void forwardLog(int32_t level, const char* text, void*) {
  if (logTarget == nullptr || text == nullptr) return;
  const int32_t ours = level == kLogContinue ? 4 : level >= kLogDebug ? level - kLogDebug : 0;
  logTarget(ours, text, logUser);
}

bool versionsFit(stator_text why) {
  if (std::strcmp(llama_version(), kLlamaVersion) == 0 && std::strcmp(ggml_version(), kGgmlVersion) == 0) return true;
  say(why, (std::string("the library is llama ") + llama_version() + " with ggml " + ggml_version() +
            ", built for llama " + kLlamaVersion + " with ggml " + kGgmlVersion)
               .c_str());
  return false;
}

bool defaultsFit(stator_text why) {
  const auto context = llama_context_default_params();
  const auto model = llama_model_default_params();
  const bool fits = context.n_ctx == 512 && context.n_batch == 2048 && context.n_ubatch == 512 &&
                    context.n_seq_max == 1 && context.type_k == kTypeF16 && context.type_v == kTypeF16 &&
                    context.abort_callback == nullptr && context.offload_kqv && context.op_offload &&
                    !context.embeddings && context.samplers == nullptr && context.ctx_other == nullptr &&
                    model.n_gpu_layers == -1 && model.kv_overrides == nullptr && !model.vocab_only &&
                    model.use_extra_bufts && !model.no_alloc;
  if (!fits) say(why, "the library's default parameters are not those of the version it claims to be");
  return fits;
}

stator_open_status open(const char* libDir, stator_log_fn log, void* user, stator_text why) {
  try {
    if (!versionsFit(why)) return STATOR_OPEN_MISMATCH;
    if (!defaultsFit(why)) return STATOR_OPEN_CANARY;
    logTarget = log;
    logUser = user;
    llama_log_set(forwardLog, nullptr);
    ggml_backend_load_all_from_path(libDir);
    llama_backend_init();
    if (ggml_backend_dev_count() > 0) return STATOR_OPEN_OK;
    say(why, "the library folder holds no CPU back end for this machine");
    return STATOR_OPEN_NO_CPU;
  } catch (const std::exception& error) {
    say(why, error.what());
    return STATOR_OPEN_NO_CPU;
  }
}

bool loadBackend(const char* path) {
  try {
    return ggml_backend_load(path) != nullptr;
  } catch (...) {
    return false;
  }
}

int32_t deviceCount() { return static_cast<int32_t>(ggml_backend_dev_count()); }

void device(int32_t index, stator_device* out) {
  auto* found = ggml_backend_dev_get(static_cast<size_t>(index));
  size_t free = 0;
  size_t total = 0;
  ggml_backend_dev_memory(found, &free, &total);
  *out = {ggml_backend_dev_name(found), ggml_backend_dev_description(found), ggml_backend_dev_type(found), total, free};
}

stator_model* modelOpen(const char* path, const stator_model_options* options, stator_text why) {
  try {
    auto params = llama_model_default_params();
    params.n_gpu_layers = options->gpu_layers;
    params.load_mode = options->mmap ? kLoadAuto : kLoadNone;
    params.vocab_only = options->vocab_only;
    params.use_extra_bufts = !options->plain_kernels;
    // Read once per process: quantizations of the IQ kind would take another path from eight rows on.
    if (options->plain_kernels) setenv("GGML_NO_IQ_PANEL", "1", 1);
    params.progress_callback = options->progress;
    params.progress_callback_user_data = options->progress_user;
    auto* model = llama_model_load_from_file(path, params);
    if (model == nullptr) return nullptr;
    return new stator_model{model, llama_model_get_vocab(model)};
  } catch (const std::exception& error) {
    say(why, error.what());
    return nullptr;
  }
}

void modelFree(stator_model* model) {
  llama_model_free(model->model);
  delete model;
}

void modelInfo(const stator_model* model, stator_model_info* out) {
  const auto* from = model->model;
  const int32_t rope = llama_model_rope_type(from);
  *out = {.layers = llama_model_n_layer(from),
          .embedding = llama_model_n_embd(from),
          .embedding_out = llama_model_n_embd_out(from),
          .heads = llama_model_n_head(from),
          .kv_heads = llama_model_n_head_kv(from),
          .train_context_tokens = llama_model_n_ctx_train(from),
          .window_tokens = llama_model_n_swa(from),
          .recurrent = llama_model_is_recurrent(from),
          .hybrid = llama_model_is_hybrid(from),
          .encoder = llama_model_has_encoder(from),
          .decoder = llama_model_has_decoder(from),
          .extended_cells = rope == kRopeMrope || rope == kRopeImrope || rope == kRopeVision,
          .size_bytes = llama_model_size(from),
          .parameters = llama_model_n_params(from)};
}

int32_t modelMeta(const stator_model* model, const char* key, stator_text out) {
  return llama_model_meta_val_str(model->model, key, out.data, out.capacity);
}

int32_t modelDescription(const stator_model* model, stator_text out) {
  return llama_model_desc(model->model, out.data, out.capacity);
}

const char* modelChatTemplate(const stator_model* model) { return llama_model_chat_template(model->model, nullptr); }

void vocabInfo(const stator_model* model, stator_vocab_info* out) {
  const auto* vocab = model->vocab;
  *out = {llama_vocab_n_tokens(vocab), llama_vocab_bos(vocab),         llama_vocab_eos(vocab),
          llama_vocab_eot(vocab),      llama_vocab_get_add_bos(vocab), llama_vocab_get_add_eos(vocab)};
}

int32_t tokenize(const stator_model* model, const char* text, int32_t length, int32_t* out, int32_t capacity,
                 bool addSpecial, bool parseSpecial) {
  try {
    return llama_tokenize(model->vocab, text, length, out, capacity, addSpecial, parseSpecial);
  } catch (...) {
    return INT32_MIN;
  }
}

int32_t tokenPiece(const stator_model* model, int32_t token, char* out, int32_t capacity) {
  try {
    return llama_token_to_piece(model->vocab, token, out, capacity, 0, true);
  } catch (...) {
    return 0;
  }
}

uint8_t tokenAttributes(const stator_model* model, int32_t token) {
  const int32_t found = llama_vocab_get_attr(model->vocab, token);
  uint8_t bits = 0;
  if (llama_vocab_is_control(model->vocab, token)) bits |= STATOR_TOKEN_CONTROL;
  if (llama_vocab_is_eog(model->vocab, token)) bits |= STATOR_TOKEN_END;
  if (found & kAttrByte) bits |= STATOR_TOKEN_BYTE;
  if (found & kAttrUserDefined) bits |= STATOR_TOKEN_USER;
  if (found & kAttrUnused) bits |= STATOR_TOKEN_UNUSED;
  return bits;
}

stator_adapter* adapterOpen(stator_model* model, const char* path, stator_text why) {
  try {
    auto* adapter = llama_adapter_lora_init(model->model, path);
    return adapter == nullptr ? nullptr : new stator_adapter{adapter};
  } catch (const std::exception& error) {
    say(why, error.what());
    return nullptr;
  }
}

void adapterFree(stator_adapter* adapter) {
  llama_adapter_lora_free(adapter->adapter);
  delete adapter;
}

llama_context_params contextParams(const stator_context_options& options) {
  auto params = llama_context_default_params();
  params.n_ctx = options.cells;
  params.n_batch = options.batch_tokens;
  params.n_ubatch = options.batch_tokens;
  params.n_seq_max = options.sequences;
  params.n_outputs_max = options.outputs;
  params.n_threads = options.threads;
  params.n_threads_batch = options.batch_threads;
  params.type_k = options.key_type;
  params.type_v = options.value_type;
  params.flash_attn_type = options.flash_attention ? kFlashOn : kFlashOff;
  params.pooling_type = options.pooling == STATOR_POOLING_OFF ? kPoolingUnspecified : options.pooling;
  params.embeddings = options.pooling != STATOR_POOLING_OFF;
  params.abort_callback = options.abort;
  params.abort_callback_data = options.abort_user;
  params.swa_full = true;
  params.kv_unified = !options.streams;
  params.no_perf = true;
  return params;
}

stator_context* contextOpen(stator_model* model, const stator_context_options* options, stator_text why) {
  try {
    auto* context = llama_init_from_model(model->model, contextParams(*options));
    if (context == nullptr) return nullptr;
    return new stator_context{context, llama_get_memory(context), std::vector<int32_t>(options->batch_tokens, 1), {}};
  } catch (const std::exception& error) {
    say(why, error.what());
    return nullptr;
  }
}

void contextFree(stator_context* context) {
  llama_free(context->context);
  delete context;
}

uint32_t contextCells(const stator_context* context) { return llama_n_ctx_seq(context->context); }

bool contextHasMemory(const stator_context* context) { return context->memory != nullptr; }

bool contextAdapter(stator_context* context, stator_adapter* adapter) {
  float scale = 1;
  return llama_set_adapters_lora(context->context, adapter == nullptr ? nullptr : &adapter->adapter,
                                 adapter == nullptr ? 0 : 1, &scale) == 0;
}

stator_decode_status decode(stator_context* context, const stator_batch* batch) {
  try {
    const auto count = static_cast<size_t>(batch->count);
    context->sequences.resize(count);
    for (size_t i = 0; i < count; i++) context->sequences[i] = const_cast<int32_t*>(batch->sequences + i);
    const int32_t status = llama_decode(
        context->context,
        {.n_tokens = batch->count,
         .token = const_cast<int32_t*>(batch->tokens),
         .embd = nullptr,
         .pos = const_cast<int32_t*>(batch->positions),
         .n_seq_id = context->ones.data(),
         .seq_id = context->sequences.data(),
         .logits = const_cast<int8_t*>(batch->outputs)});
    if (status == 0) return STATOR_DECODE_OK;
    if (status == 1) return STATOR_DECODE_NO_SPACE;
    return status == 2 ? STATOR_DECODE_ABORTED : STATOR_DECODE_FAILED;
  } catch (...) {
    return STATOR_DECODE_FAILED;
  }
}

float* logits(stator_context* context, int32_t index) {
  try {
    return llama_get_logits_ith(context->context, index);
  } catch (...) {
    return nullptr;
  }
}

const float* embedding(stator_context* context, int32_t sequence) {
  try {
    return llama_get_embeddings_seq(context->context, sequence);
  } catch (...) {
    return nullptr;
  }
}

void memoryClear(stator_context* context) {
  if (context->memory != nullptr) llama_memory_clear(context->memory, false);
}

void sequenceCopy(stator_context* context, int32_t from, int32_t to, int32_t p0, int32_t p1) {
  llama_memory_seq_cp(context->memory, from, to, p0, p1);
}

bool sequenceRemove(stator_context* context, int32_t sequence, int32_t p0, int32_t p1) {
  return llama_memory_seq_rm(context->memory, sequence, p0, p1);
}

int32_t sequenceFirst(stator_context* context, int32_t sequence) {
  return llama_memory_seq_pos_min(context->memory, sequence);
}

int32_t sequenceLast(stator_context* context, int32_t sequence) {
  return llama_memory_seq_pos_max(context->memory, sequence);
}

size_t stateSize(stator_context* context, int32_t sequence) {
  try {
    return llama_state_seq_get_size(context->context, sequence);
  } catch (...) {
    return 0;
  }
}

size_t stateGet(stator_context* context, int32_t sequence, uint8_t* out, size_t size) {
  try {
    return llama_state_seq_get_data(context->context, out, size, sequence);
  } catch (...) {
    return 0;
  }
}

size_t stateSet(stator_context* context, int32_t sequence, const uint8_t* data, size_t size) {
  try {
    return llama_state_seq_set_data(context->context, data, size, sequence);
  } catch (...) {
    return 0;
  }
}

// The C interface of the library gives out whole sequences, less what a sliding window hides. Rows by position are had from
// the functions beneath it, which visit the tensors one by one. They are private: a context is asked only when the
// virtual functions of its cache are exactly these two, which the linker found by name.
using WriteState = void (*)(const llama_memory_i*, llama_state_writer&, int32_t sequence, uint32_t flags);
using ReadState = void (*)(llama_memory_i*, llama_state_reader&, int32_t sequence, uint32_t flags);
constexpr size_t kWriteStateIndex = 15;
constexpr size_t kReadStateIndex = 16;

extern "C" {
extern char plainWriteState __asm__("_ZNK14llama_kv_cache11state_writeER16llama_io_write_iij");
extern char plainReadState __asm__("_ZN14llama_kv_cache10state_readER15llama_io_read_iij");
extern char windowedWriteState __asm__("_ZNK19llama_kv_cache_iswa11state_writeER16llama_io_write_iij");
extern char windowedReadState __asm__("_ZN19llama_kv_cache_iswa10state_readER15llama_io_read_iij");
}

bool knowsCache(const stator_context& context) {
  if (context.memory == nullptr) return false;
  const void* const* functions = *reinterpret_cast<const void* const* const*>(context.memory);
  const void* write = functions[kWriteStateIndex];
  const void* read = functions[kReadStateIndex];
  return (write == &plainWriteState && read == &plainReadState) ||
         (write == &windowedWriteState && read == &windowedReadState);
}

/// Visits the tensors of a sequence in the order of the library form, with the bytes of one row. The ranges that the
/// library names are not looked at.
class TensorVisitor : public llama_state_writer {
 public:
  void write(const void* from, size_t size) override {
    if (size == sizeof row_) std::memcpy(&row_, from, size);
  }
  void write_tensor(ggml_tensor* tensor, size_t, size_t) override {
    if (tensor == last_) return;
    last_ = tensor;
    visit(tensor, row_);
  }
  size_t n_bytes() override { return 0; }

  void run(const stator_context& context, int32_t sequence) {
    const auto call = (*reinterpret_cast<WriteState* const*>(context.memory))[kWriteStateIndex];
    call(context.memory, *this, sequence, 0);
  }

 protected:
  virtual void visit(ggml_tensor* tensor, size_t row) = 0;

 private:
  uint64_t row_ = 0;
  const ggml_tensor* last_ = nullptr;
};

class RowReader : public TensorVisitor {
 public:
  RowReader(int32_t p0, int32_t p1, uint8_t* out, size_t size) : first_(p0), count_(p1 - p0), out_(out), size_(size) {}
  bool filled() const { return at_ == size_; }

 protected:
  void visit(ggml_tensor* tensor, size_t row) override {
    const size_t bytes = count_ * row;
    if (bytes <= size_ - std::min(at_, size_)) ggml_backend_tensor_get(tensor, out_ + at_, first_ * row, bytes);
    at_ += bytes;
  }

 private:
  const size_t first_, count_;
  uint8_t* const out_;
  const size_t size_;
  size_t at_ = 0;
};

/// Feeds the library the head it wants to see, and the tensors the new rows alone.
class RowWriter : public llama_state_reader {
 public:
  RowWriter(int32_t p0, int32_t p1, const uint8_t* head, size_t headSize, const uint8_t* rows, size_t size)
      : first_(p0), end_(p1), head_(head), headSize_(headSize), rows_(rows), size_(size) {}

  void read(void* to, size_t size) override {
    if (size > headSize_ - headAt_) throw std::runtime_error("the head is too short");
    std::memcpy(to, head_ + headAt_, size);
    headAt_ += size;
  }
  void read_tensor(ggml_tensor* tensor, size_t offset, size_t size) override {
    const size_t row = size / end_;
    const size_t bytes = (end_ - first_) * row;
    if (offset != 0 || bytes > size_ - at_) throw std::runtime_error("the cells are not those of the positions");
    ggml_backend_tensor_set(tensor, rows_ + at_, first_ * row, bytes);
    at_ += bytes;
  }
  size_t n_bytes() override { return headAt_; }
  bool used() const { return headAt_ == headSize_ && at_ == size_; }

 private:
  const size_t first_, end_;
  const uint8_t* const head_;
  const size_t headSize_;
  const uint8_t* const rows_;
  const size_t size_;
  size_t headAt_ = 0;
  size_t at_ = 0;
};

/// Gives the pages that lie wholly within so many rows back to the system.
class RowForgetter : public TensorVisitor {
 public:
  RowForgetter(int32_t p0, size_t cells) : first_(p0), cells_(cells) {}

 protected:
  void visit(ggml_tensor* tensor, size_t row) override {
    const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    const auto start = reinterpret_cast<uintptr_t>(ggml_get_data(tensor));
    const uintptr_t from = (start + first_ * row + page - 1) / page * page;
    const uintptr_t to = (start + (first_ + cells_) * row) / page * page;
    if (from < to) madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);
  }

 private:
  const size_t first_, cells_;
};

bool rowsGet(stator_context* context, int32_t sequence, int32_t p0, int32_t p1, uint8_t* out, size_t size) {
  try {
    if (!knowsCache(*context)) return false;
    RowReader reader(p0, p1, out, size);
    reader.run(*context, sequence);
    return reader.filled();
  } catch (...) {
    return false;
  }
}

bool rowsSet(stator_context* context, int32_t sequence, int32_t p0, int32_t p1, const uint8_t* head, size_t headSize,
             const uint8_t* rows, size_t size) {
  try {
    if (!knowsCache(*context)) return false;
    RowWriter writer(p0, p1, head, headSize, rows, size);
    const auto call = (*reinterpret_cast<ReadState* const*>(context->memory))[kReadStateIndex];
    call(context->memory, writer, sequence, 0);
    if (writer.used()) return true;
  } catch (...) {
  }
  llama_memory_seq_rm(context->memory, sequence, -1, -1);
  return false;
}

void rowsForget(stator_context* context, int32_t sequence, int32_t p0, size_t cells) {
  try {
    if (!knowsCache(*context)) return;
    RowForgetter(p0, cells).run(*context, sequence);
  } catch (...) {
  }
}

stator_grammar* grammarOpen(const stator_model* model, const char* text, stator_text why) {
  try {
    auto* sampler = llama_sampler_init_grammar(model->vocab, text, "root");
    return sampler == nullptr ? nullptr : new stator_grammar{sampler, {}};
  } catch (const std::exception& error) {
    say(why, error.what());
    return nullptr;
  }
}

void grammarFree(stator_grammar* grammar) {
  llama_sampler_free(grammar->sampler);
  delete grammar;
}

bool grammarAllows(stator_grammar* grammar, int32_t token) {
  try {
    llama_token_data one{token, 0, 0};
    llama_token_data_array candidates{&one, 1, -1, false};
    llama_sampler_apply(grammar->sampler, &candidates);
    return !std::isinf(one.logit);
  } catch (...) {
    return false;
  }
}

void grammarMask(stator_grammar* grammar, const int32_t* tokens, float* values, size_t count) {
  try {
    auto& data = grammar->candidates;
    data.resize(count);
    for (size_t i = 0; i < count; i++) data[i] = {tokens[i], values[i], 0};
    llama_token_data_array candidates{data.data(), count, -1, false};
    llama_sampler_apply(grammar->sampler, &candidates);
    for (size_t i = 0; i < count; i++) values[i] = data[i].logit;
  } catch (...) {
    for (size_t i = 0; i < count; i++) values[i] = -INFINITY;
  }
}

bool grammarAccept(stator_grammar* grammar, int32_t token) {
  if (!grammarAllows(grammar, token)) return false;
  try {
    llama_sampler_accept(grammar->sampler, token);
    return true;
  } catch (...) {
    return false;
  }
}

constexpr stator_llama_api kTable = {
    .revision = STATOR_LLAMA_API_REVISION,
    .size = sizeof(stator_llama_api),
    .open = open,
    .llama_version = llama_version,
    .ggml_version = ggml_version,
    .load_backend = loadBackend,
    .device_count = deviceCount,
    .device = device,
    .model_open = modelOpen,
    .model_free = modelFree,
    .model_info = modelInfo,
    .model_meta = modelMeta,
    .model_description = modelDescription,
    .model_chat_template = modelChatTemplate,
    .vocab_info = vocabInfo,
    .tokenize = tokenize,
    .token_piece = tokenPiece,
    .token_attributes = tokenAttributes,
    .adapter_open = adapterOpen,
    .adapter_free = adapterFree,
    .context_open = contextOpen,
    .context_free = contextFree,
    .context_cells = contextCells,
    .context_has_memory = contextHasMemory,
    .context_adapter = contextAdapter,
    .decode = decode,
    .logits = logits,
    .embedding = embedding,
    .memory_clear = memoryClear,
    .sequence_copy = sequenceCopy,
    .sequence_remove = sequenceRemove,
    .sequence_first = sequenceFirst,
    .sequence_last = sequenceLast,
    .state_size = stateSize,
    .state_get = stateGet,
    .state_set = stateSet,
    .rows_get = rowsGet,
    .rows_set = rowsSet,
    .rows_forget = rowsForget,
    .grammar_open = grammarOpen,
    .grammar_free = grammarFree,
    .grammar_allows = grammarAllows,
    .grammar_mask = grammarMask,
    .grammar_accept = grammarAccept,
};

}  // namespace

extern "C" __attribute__((visibility("default"))) const stator_llama_api* stator_llama_api_get(void) { return &kTable; }
