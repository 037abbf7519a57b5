#include "engine/embedder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/failure.h"

namespace stator {
namespace {

constexpr int32_t kMaxSequences = 32;
/// Tokens that a context is opened for at first; a longer input opens it anew, twice as large or more. Its cells cost as
/// much as those of the cache, and most inputs are short.
constexpr int32_t kFirstTokens = 512;

void scaleToOne(std::vector<float>& vector) {
  double sum = 0;
  for (const float value : vector) sum += double{value} * value;
  const double length = std::sqrt(sum);
  if (length <= 0) return;
  for (float& value : vector) value = static_cast<float>(value / length);
}

}  // namespace

Embedder::Embedder(std::shared_ptr<Model> model, int32_t tokens, int32_t threads, stator_abort_fn abort,
                   void* abortUser)
    : model_(std::move(model)),
      api_(model_->api()),
      tokens_(tokens),
      threads_(threads),
      abort_(abort),
      abortUser_(abortUser) {}

Embedder::~Embedder() { close(); }

void Embedder::close() {
  if (context_ != nullptr) api_.context_free(context_);
  context_ = nullptr;
}

void Embedder::open(int32_t pooling, int32_t least) {
  if (context_ != nullptr && pooling_ == pooling && least <= opened_) return;
  close();
  opened_ = std::max(opened_, std::min(kFirstTokens, tokens_));
  while (opened_ < least) opened_ = std::min(opened_ * 2, tokens_);
  const auto tokens = static_cast<uint32_t>(opened_);
  const stator_context_options options{.cells = tokens,
                                       .sequences = std::min<uint32_t>(kMaxSequences, tokens),
                                       .batch_tokens = tokens,
                                       .outputs = 0,
                                       .threads = threads_,
                                       .batch_threads = threads_,
                                       .key_type = 1,
                                       .value_type = 1,
                                       .flash_attention = true,
                                       .pooling = pooling,
                                       .abort = abort_,
                                       .abort_user = abortUser_};
  const LibraryLog::Capture errors;
  char why[256] = "";
  context_ = api_.context_open(model_->handle, &options, {why, sizeof why});
  pooling_ = pooling;
  if (context_ != nullptr) return;
  throw Failure(Code::outOfMemory,
                "Cannot open a context for embeddings: " + errors.text(why[0] != 0 ? why : "no reason given") + ".");
}

void Embedder::advance(EmbedJob& job) {
  const size_t first = job.done.size();
  open(job.pooling, static_cast<int32_t>(job.inputs[first].size()));
  std::vector<int32_t> tokens, positions, sequences;
  size_t last = first;
  const auto most = std::min(job.inputs.size(), first + static_cast<size_t>(std::min(kMaxSequences, opened_)));
  while (last < most && tokens.size() + job.inputs[last].size() <= static_cast<size_t>(opened_)) {
    const auto& input = job.inputs[last];
    for (size_t i = 0; i < input.size(); i++) {
      tokens.push_back(input[i]);
      positions.push_back(static_cast<int32_t>(i));
      sequences.push_back(static_cast<int32_t>(last - first));
    }
    last++;
  }
  const std::vector<int8_t> outputs(tokens.size(), 1);
  api_.memory_clear(context_);
  const stator_batch batch{static_cast<int32_t>(tokens.size()), tokens.data(), positions.data(), sequences.data(),
                           outputs.data()};
  const LibraryLog::Capture errors;
  const auto status = api_.decode(context_, &batch);
  if (status == STATOR_DECODE_ABORTED) throw Failure(Code::aborted, "The embedding was stopped.");
  if (status != STATOR_DECODE_OK) {
    throw Failure(Code::internal, "The library failed to embed: " + errors.text("no reason given") + ".");
  }
  for (size_t i = first; i < last; i++) {
    const float* vector = api_.embedding(context_, static_cast<int32_t>(i - first));
    if (vector == nullptr) throw Failure(Code::unsupported, "This model gives no embeddings.");
    job.done.emplace_back(vector, vector + model_->info.embedding_out);
    if (job.normalize) scaleToOne(job.done.back());
  }
}

}  // namespace stator
