#ifndef STATOR_LLAMA_API_H
#define STATOR_LLAMA_API_H
/*
 * The boundary between stator.node and libstator-llama: one table of C functions. The addon links nothing foreign and
 * opens the library at run time; whatever the version of llama.cpp does to its structures stays behind this table.
 *
 * No function throws. `why` receives one sentence on failure. Strings that are returned live as long as their owner.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raise with every change of this file. */
#define STATOR_LLAMA_API_REVISION 3u
#define STATOR_LLAMA_API_SYMBOL "stator_llama_api_get"

typedef struct stator_model stator_model;
typedef struct stator_adapter stator_adapter;
typedef struct stator_context stator_context;
typedef struct stator_grammar stator_grammar;

typedef struct stator_text {
  char* data;
  size_t capacity;
} stator_text;

/* 0 debug, 1 info, 2 warning, 3 error, 4 continues the line before. */
typedef void (*stator_log_fn)(int32_t level, const char* text, void* user);
typedef bool (*stator_progress_fn)(float ratio, void* user);
typedef bool (*stator_abort_fn)(void* user);

typedef enum stator_open_status {
  STATOR_OPEN_OK = 0,
  STATOR_OPEN_MISMATCH = 1,
  STATOR_OPEN_CANARY = 2,
  STATOR_OPEN_NO_CPU = 3
} stator_open_status;

typedef struct stator_device {
  const char* name;
  const char* description;
  int32_t kind; /* 0 cpu, 1 gpu, 2 integrated gpu, 3 accelerator, 4 meta */
  uint64_t memory_bytes;
  uint64_t free_bytes;
} stator_device;

typedef struct stator_model_options {
  int32_t gpu_layers;
  bool mmap;
  bool vocab_only;
  bool plain_kernels; /* kernels whose sums do not depend on how many rows a step has */
  stator_progress_fn progress; /* returns false to stop the load; may be null */
  void* progress_user;
} stator_model_options;

typedef struct stator_model_info {
  int32_t layers, embedding, embedding_out, heads, kv_heads, train_context_tokens, window_tokens;
  bool recurrent, hybrid, encoder, decoder;
  bool extended_cells; /* positions with several components: KV blocks cannot be exported */
  uint64_t size_bytes, parameters;
} stator_model_info;

typedef struct stator_vocab_info {
  int32_t size, bos, eos, eot;
  bool add_bos, add_eos;
} stator_vocab_info;

/* Bits of token_attributes. */
enum {
  STATOR_TOKEN_CONTROL = 1,
  STATOR_TOKEN_END = 2,
  STATOR_TOKEN_BYTE = 4,
  STATOR_TOKEN_USER = 8,
  STATOR_TOKEN_UNUSED = 16
};

/* -1 for a context that generates. */
enum { STATOR_POOLING_OFF = -1, STATOR_POOLING_MEAN = 1, STATOR_POOLING_CLS = 2, STATOR_POOLING_LAST = 3 };

typedef struct stator_context_options {
  uint32_t cells, sequences, batch_tokens, outputs;
  int32_t threads, batch_threads;
  int32_t key_type, value_type; /* numbers of ggml_type */
  bool flash_attention;
  bool streams; /* every sequence has cells of its own, from 0 on; else all share one run of cells */
  int32_t pooling;
  stator_abort_fn abort;
  void* abort_user;
} stator_context_options;

/* All arrays have `count` entries; outputs[i] != 0 asks for the logits after token i. */
typedef struct stator_batch {
  int32_t count;
  const int32_t* tokens;
  const int32_t* positions;
  const int32_t* sequences;
  const int8_t* outputs;
} stator_batch;

typedef enum stator_decode_status {
  STATOR_DECODE_OK = 0,
  STATOR_DECODE_NO_SPACE = 1,
  STATOR_DECODE_ABORTED = 2,
  STATOR_DECODE_FAILED = 3
} stator_decode_status;

typedef struct stator_llama_api {
  uint32_t revision;
  uint32_t size; /* sizeof(stator_llama_api) */

  /* Checks versions and defaults, routes the log, loads the CPU variants found in lib_dir. Once per process. */
  stator_open_status (*open)(const char* lib_dir, stator_log_fn log, void* user, stator_text why);
  const char* (*llama_version)(void);
  const char* (*ggml_version)(void);
  bool (*load_backend)(const char* path);
  int32_t (*device_count)(void);
  void (*device)(int32_t index, stator_device* out);

  stator_model* (*model_open)(const char* path, const stator_model_options* options, stator_text why);
  void (*model_free)(stator_model* model);
  void (*model_info)(const stator_model* model, stator_model_info* out);
  /* Length of the value, or -1; at most capacity-1 bytes and a zero are written. */
  int32_t (*model_meta)(const stator_model* model, const char* key, stator_text out);
  int32_t (*model_description)(const stator_model* model, stator_text out);
  const char* (*model_chat_template)(const stator_model* model);

  void (*vocab_info)(const stator_model* model, stator_vocab_info* out);
  /* Number of tokens; if negative, the capacity that is needed. INT32_MIN on failure. Safe on any thread. */
  int32_t (*tokenize)(const stator_model* model, const char* text, int32_t length, int32_t* out, int32_t capacity,
                      bool add_special, bool parse_special);
  /* Bytes of a token, special ones included; if negative, the capacity that is needed. */
  int32_t (*token_piece)(const stator_model* model, int32_t token, char* out, int32_t capacity);
  uint8_t (*token_attributes)(const stator_model* model, int32_t token);

  stator_adapter* (*adapter_open)(stator_model* model, const char* path, stator_text why);
  void (*adapter_free)(stator_adapter* adapter);

  stator_context* (*context_open)(stator_model* model, const stator_context_options* options, stator_text why);
  void (*context_free)(stator_context* context);
  /* Cells that one sequence can use. */
  uint32_t (*context_cells)(const stator_context* context);
  /* False for models without a cache (encoders). */
  bool (*context_has_memory)(const stator_context* context);
  bool (*context_adapter)(stator_context* context, stator_adapter* adapter);
  stator_decode_status (*decode)(stator_context* context, const stator_batch* batch);
  /* Logits of the batch's token i, or null; valid until the next decode, may be overwritten. */
  float* (*logits)(stator_context* context, int32_t index);
  const float* (*embedding)(stator_context* context, int32_t sequence);

  void (*memory_clear)(stator_context* context);
  void (*sequence_copy)(stator_context* context, int32_t from, int32_t to, int32_t p0, int32_t p1);
  bool (*sequence_remove)(stator_context* context, int32_t sequence, int32_t p0, int32_t p1);
  /* -1 for an empty sequence. */
  int32_t (*sequence_first)(stator_context* context, int32_t sequence);
  int32_t (*sequence_last)(stator_context* context, int32_t sequence);

  size_t (*state_size)(stator_context* context, int32_t sequence);
  size_t (*state_get)(stator_context* context, int32_t sequence, uint8_t* out, size_t size);
  /* 0 when it was refused; the sequence is empty then. */
  size_t (*state_set)(stator_context* context, int32_t sequence, const uint8_t* data, size_t size);
  /*
   * With streams: the rows of positions p0 .. p1-1, whose cells are p0 .. p1-1 too. Per cache the keys of all layers, then
   * the values of all layers, each [p1 - p0][row]. False when the sequence is empty or the size is another.
   */
  bool (*rows_get)(stator_context* context, int32_t sequence, int32_t p0, int32_t p1, uint8_t* out, size_t size);
  /*
   * Puts rows behind the first p0 positions that the sequence has. `head` is the library form of a sequence with p1
   * positions from 0 on, without its rows; cells below p0 keep their content. False when it was refused: the sequence
   * is empty then.
   */
  bool (*rows_set)(stator_context* context, int32_t sequence, int32_t p0, int32_t p1, const uint8_t* head,
                   size_t head_size, const uint8_t* rows, size_t size);
  /*
   * With streams in host memory: gives the pages of `cells` cells from position p0 of a sequence that is not empty back
   * to the system; they read as zeros. Behind a sequence's cells lie those of the next one.
   */
  void (*rows_forget)(stator_context* context, int32_t sequence, int32_t p0, size_t cells);

  stator_grammar* (*grammar_open)(const stator_model* model, const char* text, stator_text why);
  void (*grammar_free)(stator_grammar* grammar);
  bool (*grammar_allows)(stator_grammar* grammar, int32_t token);
  /* Sets the logits of tokens that cannot follow to -infinity. */
  void (*grammar_mask)(stator_grammar* grammar, const int32_t* tokens, float* logits, size_t count);
  /* False when the token cannot follow; the grammar is unusable then. */
  bool (*grammar_accept)(stator_grammar* grammar, int32_t token);
} stator_llama_api;

typedef const stator_llama_api* (*stator_llama_api_get_fn)(void);

#ifdef __cplusplus
}
#endif
#endif
