#include "engine/step.h"

#include <algorithm>
#include <cmath>

#include "engine/failure.h"

namespace stator {
namespace {

constexpr size_t kMaxGrammarBytes = 1 << 18;

void checkTokens(const std::vector<int32_t>& tokens, const Limits& limits, const char* what) {
  const auto bad = std::find_if(tokens.begin(), tokens.end(),
                                [&](int32_t token) { return token < 0 || token >= limits.vocab; });
  if (bad == tokens.end()) return;
  require(false, std::string(what) + " holds the id " + std::to_string(static_cast<uint32_t>(*bad)) +
                     ", the vocabulary ends at " + std::to_string(limits.vocab - 1) + ".");
}

void checkOp(const int32_t* op, const Limits& limits) {
  require(op[0] == kOpCopy || op[0] == kOpRemove, "An op has the unknown code " + std::to_string(op[0]) + ".");
  checkSlot(op[1], limits);
  if (op[0] == kOpCopy) {
    checkSlot(op[2], limits);
    require(op[1] != op[2], "A copy op names slot " + std::to_string(op[1]) + " twice.");
    require(limits.partial, "This model's state cannot be copied in parts.");
    checkRange(op[3], op[4], limits);
    return;
  }
  require(op[3] == -1 || op[3] > op[2], "A remove op has an empty range.");
  require(op[2] >= 0 && op[3] <= limits.cells, "A remove op lies outside the cache.");
  require(limits.partial || (op[2] == 0 && op[3] == -1), "This model's state can only be removed whole.");
}

}  // namespace

void checkSlot(int32_t slot, const Limits& limits) {
  require(slot >= 0 && slot < limits.slots,
          "Slot " + std::to_string(slot) + " is not one of 0.." + std::to_string(limits.slots - 1) + ".");
}

void checkRange(int32_t p0, int32_t p1, const Limits& limits) {
  require(p0 >= 0 && p0 < p1 && p1 <= limits.cells, "Positions " + std::to_string(p0) + ".." + std::to_string(p1) +
                                                        " are not a range within " + std::to_string(limits.cells) +
                                                        " cells.");
}

void checkPlan(const StepPlan& plan, const Limits& limits) {
  const size_t entries = plan.slots.size();
  require(plan.positions.size() == entries && plan.counts.size() == entries && plan.flags.size() == entries,
          "slots, positions, counts and flags differ in length.");
  require(plan.ops.size() % kOpWidth == 0, "ops must hold five numbers each.");
  for (size_t i = 0; i < plan.ops.size(); i += kOpWidth) checkOp(plan.ops.data() + i, limits);
  std::vector<bool> seen(static_cast<size_t>(limits.slots), false);
  int64_t all = 0;
  int64_t supplied = 0;
  int64_t scored = 0;
  int64_t outputs = 0;
  for (size_t i = 0; i < entries; i++) {
    checkSlot(plan.slots[i], limits);
    const auto slot = static_cast<size_t>(plan.slots[i]);
    require(!seen[slot], "Slot " + std::to_string(slot) + " appears twice in one step.");
    seen[slot] = true;
    require((plan.flags[i] & ~kFlagAll) == 0, "An entry has an unknown flag.");
    const bool chained = (plan.flags[i] & kFlagChained) != 0;
    require(plan.counts[i] >= 1, "An entry has no tokens.");
    require(!chained || plan.counts[i] == 1, "A chained entry has more than one token.");
    const bool scores = (plan.flags[i] & kFlagScore) != 0;
    require(!chained || !scores, "A chained entry has nothing to score.");
    require(plan.positions[i] >= 0 && plan.counts[i] <= limits.cells - plan.positions[i],
            "An entry of slot " + std::to_string(slot) + " ends beyond the cache.");
    all += plan.counts[i];
    supplied += chained ? 0 : plan.counts[i];
    scored += scores ? plan.counts[i] : 0;
    outputs += (plan.flags[i] & kFlagSample) != 0;
  }
  require(all <= limits.batchTokens, "The step has " + std::to_string(all) + " tokens, more than " +
                                         std::to_string(limits.batchTokens) + ".");
  require(supplied == static_cast<int64_t>(plan.tokens.size()), "counts and tokens do not agree.");
  checkTokens(plan.tokens, limits, "A step");
  require(scored == static_cast<int64_t>(plan.targets.size()), "counts and targets do not agree.");
  for (const int32_t target : plan.targets) {
    require(target >= -1 && target < limits.vocab, "A target is no token.");
    outputs += target >= 0;
  }
  require(outputs <= limits.outputs, "The step has " + std::to_string(outputs) + " rows to read, more than " +
                                         std::to_string(limits.outputs) + ".");
}

void checkSampling(const Sampling& sampling, const Limits& limits) {
  require(std::isfinite(sampling.temperature) && sampling.temperature >= 0, "The temperature must be 0 or more.");
  require(!std::isnan(sampling.topP) && sampling.topP >= 0, "topP must be 0 or more.");
  require(sampling.minP >= 0 && sampling.minP <= 1, "minP must lie in [0, 1].");
  require(std::isfinite(sampling.repetitionPenalty) && sampling.repetitionPenalty > 0,
          "The repetition penalty must be above 0.");
  require(std::isfinite(sampling.frequencyPenalty) && std::isfinite(sampling.presencePenalty),
          "Frequency and presence penalty must be finite.");
  require(sampling.firstPosition >= 0 && sampling.minTokens >= 0 && sampling.maxTokens >= 0,
          "Positions and token counts must be 0 or more.");
  require(sampling.logprobs >= -1 && sampling.logprobs <= 20, "logprobs must lie in [-1, 20].");
  require(sampling.biasIds.size() == sampling.biasValues.size(), "The logit bias has more ids than values.");
  for (const float value : sampling.biasValues) require(!std::isnan(value), "A logit bias is not a number.");
  checkTokens(sampling.biasIds, limits, "The logit bias");
  checkTokens(sampling.stopTokens, limits, "stopTokens");
  checkTokens(sampling.promptTokens, limits, "promptTokens");
  checkTokens(sampling.generatedTokens, limits, "generatedTokens");
  require(sampling.grammar.size() <= kMaxGrammarBytes, "The grammar has more than 256 KiB.");
}

}  // namespace stator
