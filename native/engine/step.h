#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace stator {

struct Adapter;

/// What decides the tokens of one slot; fields as in `Sampling` of lib/native/context.ts.
struct Sampling {
  float temperature = 0;
  int32_t topK = 0;
  float topP = 1;
  float minP = 0;
  float repetitionPenalty = 1;
  float frequencyPenalty = 0;
  float presencePenalty = 0;
  uint64_t seed = 0;
  uint32_t choice = 0;
  int32_t firstPosition = 0;
  std::vector<int32_t> biasIds;
  std::vector<float> biasValues;
  std::vector<int32_t> stopTokens;
  bool ignoreEos = false;
  int32_t minTokens = 0;
  int32_t maxTokens = 0;
  int32_t logprobs = -1;
  std::string grammar;
  std::vector<int32_t> promptTokens;
  std::vector<int32_t> generatedTokens;
};

/// The limits that calls are checked against.
struct Limits {
  int32_t slots = 0;
  int32_t cells = 0;
  int32_t batchTokens = 0;
  int32_t vocab = 0;
  /// Rows of one step that give logits.
  int32_t outputs = 0;
  /// False for models whose state is not per token: such a slot is removed whole and never copied.
  bool partial = true;
};

enum : int32_t { kOpCopy = 0, kOpRemove = 1, kOpWidth = 5 };
enum : uint8_t { kFlagSample = 1, kFlagChained = 2, kFlagScore = 4, kFlagAll = 7 };
enum class End : uint8_t { none, eog, stop, length, grammar, skipped, error };
enum class StepStatus : uint8_t { ok, aborted, noSpace, error, discarded };

/// One step; fields as in `StepPlan` of lib/native/context.ts.
struct StepPlan {
  int64_t step = 0;
  std::shared_ptr<Adapter> adapter;
  std::vector<int32_t> ops, slots, positions, counts, tokens, targets;
  std::vector<uint8_t> flags;
  /// Failed steps that the submitter had heard of; set by the engine.
  uint64_t failuresSeen = 0;
};

struct StepError {
  int32_t slot;
  std::string message;
};

/// What became of a step; fields as in `StepResult` of lib/native/context.ts.
struct StepResult {
  int64_t step = 0;
  StepStatus status = StepStatus::ok;
  double durationUs = 0;
  std::vector<int32_t> slots, tokens;
  std::vector<uint8_t> ends;
  std::vector<float> logprobs;
  std::vector<int32_t> ranks;
  std::vector<int32_t> topEntries, topIds;
  std::vector<float> topValues;
  /// Per scored row: its entry, the log-probability of its target, and as many most likely tokens as its slot asks for.
  std::vector<int32_t> scoreEntries, scoreTopIds;
  std::vector<float> scores, scoreTopValues;
  std::vector<StepError> errors;
  /// Failed steps so far, this one included.
  uint64_t failures = 0;
};

/// Throws INVALID_ARGUMENT unless every value of the plan is in range and the arrays agree.
void checkPlan(const StepPlan& plan, const Limits& limits);

/// Throws INVALID_ARGUMENT unless the settings make sense for a vocabulary of `limits.vocab` tokens.
void checkSampling(const Sampling& sampling, const Limits& limits);

/// Throws INVALID_ARGUMENT unless 0 <= slot < limits.slots.
void checkSlot(int32_t slot, const Limits& limits);

/// Throws INVALID_ARGUMENT unless 0 <= p0 < p1 <= limits.cells.
void checkRange(int32_t p0, int32_t p1, const Limits& limits);

}  // namespace stator
