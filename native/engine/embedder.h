#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/model.h"

namespace stator {

/// Inputs to embed. `pooling` is one of the STATOR_POOLING constants.
struct EmbedJob {
  std::vector<std::vector<int32_t>> inputs;
  int32_t pooling = STATOR_POOLING_MEAN;
  bool normalize = true;
  /// Vectors so far; the job is done when there is one per input.
  std::vector<std::vector<float>> done;
};

/// A context of the same model that computes embeddings, opened on first use, and anew for another pooling or a longer
/// input.
class Embedder {
 public:
  /// `tokens` bounds one input and one batch.
  Embedder(std::shared_ptr<Model> model, int32_t tokens, int32_t threads, stator_abort_fn abort, void* abortUser);
  ~Embedder();
  Embedder(const Embedder&) = delete;
  Embedder& operator=(const Embedder&) = delete;

  /// Computes the next batch of inputs of a job, so that steps can run between batches. Throws a Failure.
  void advance(EmbedJob& job);

 private:
  /// Opens the context for this pooling and inputs of at least so many tokens, unless it is.
  void open(int32_t pooling, int32_t least);
  void close();

  const std::shared_ptr<Model> model_;
  const stator_llama_api& api_;
  const int32_t tokens_;
  const int32_t threads_;
  const stator_abort_fn abort_;
  void* const abortUser_;
  stator_context* context_ = nullptr;
  int32_t pooling_ = 0;
  /// Tokens that the context is or was opened for.
  int32_t opened_ = 0;
};

}  // namespace stator
