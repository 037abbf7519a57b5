#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace stator {
namespace {

constexpr float kNothing = -std::numeric_limits<float>::infinity();
constexpr int32_t kLaneCount = 16;

bool better(const Candidate& a, const Candidate& b) { return a.logit > b.logit || (a.logit == b.logit && a.id < b.id); }

/// Lanes keep the loop free of a dependency, so that compilers vectorize it. NaN never wins a comparison.
float greatest(const float* logits, int32_t count) {
  float lanes[kLaneCount];
  std::fill(lanes, lanes + kLaneCount, kNothing);
  int32_t i = 0;
  for (; i + kLaneCount <= count; i += kLaneCount) {
    for (int32_t k = 0; k < kLaneCount; k++) lanes[k] = logits[i + k] > lanes[k] ? logits[i + k] : lanes[k];
  }
  float top = *std::max_element(lanes, lanes + kLaneCount);
  for (; i < count; i++) top = logits[i] > top ? logits[i] : top;
  return top;
}

}  // namespace

int32_t argmax(const float* logits, int32_t count) {
  const float top = greatest(logits, count);
  if (top == kNothing) return -1;
  return static_cast<int32_t>(std::find(logits, logits + count, top) - logits);
}

double logSumExp(const float* logits, int32_t count) {
  const float top = greatest(logits, count);
  if (!std::isfinite(top)) return top;
  double sum = 0;
  for (int32_t i = 0; i < count; i++) {
    if (logits[i] > kNothing) sum += std::exp(logits[i] - top);
  }
  return top + std::log(sum);
}

int32_t rankOf(const float* logits, int32_t count, float logit) {
  int32_t above = 0;
  for (int32_t i = 0; i < count; i++) above += logits[i] > logit ? 1 : 0;
  return above + 1;
}

const std::vector<Candidate>& Sampler::best(const float* logits, int32_t count, int32_t k) {
  const auto wanted = static_cast<size_t>(std::min(k, count));
  const size_t room = std::max<size_t>(2 * wanted, 64);
  kept_.clear();
  float least = kNothing;
  const auto shrink = [&] {
    std::nth_element(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(wanted - 1), kept_.end(), better);
    kept_.resize(wanted);
    least = kept_.back().logit;
  };
  for (int32_t i = 0; i < count && wanted > 0; i++) {
    if (!(logits[i] > least)) continue;
    kept_.push_back({i, logits[i]});
    if (kept_.size() >= room) shrink();
  }
  std::sort(kept_.begin(), kept_.end(), better);
  if (kept_.size() > wanted) kept_.resize(wanted);
  return kept_;
}

void Sampler::weigh(const Truncation& cut, float top) {
  weights_.resize(kept_.size());
  for (size_t i = 0; i < kept_.size(); i++) weights_[i] = std::exp((kept_[i].logit - top) / cut.temperature);
}

void Sampler::keepTopP(const float* logits, int32_t count, const Truncation& cut, float top) {
  const bool limited = cut.topK > 0 && cut.topK < count;
  double total = 0;
  if (!limited) {
    for (int32_t i = 0; i < count; i++) {
      if (logits[i] > kNothing) total += std::exp((logits[i] - top) / cut.temperature);
    }
  }
  for (int32_t k = limited ? cut.topK : 64;; k = k > count / 8 ? count : k * 8) {
    best(logits, count, k);
    weigh(cut, top);
    if (limited) {
      for (const double weight : weights_) total += weight;
    }
    if (cut.topP >= 1) return;
    double sum = 0;
    for (size_t i = 0; i < weights_.size(); i++) {
      sum += weights_[i];
      if (sum < cut.topP * total) continue;
      kept_.resize(i + 1);
      weights_.resize(i + 1);
      return;
    }
    if (limited || k >= count) return;
  }
}

int32_t Sampler::invert(double draw) const {
  double total = 0;
  for (const double weight : weights_) total += weight;
  double left = draw * total;
  int32_t last = -1;
  for (size_t i = 0; i < kept_.size(); i++) {
    if (weights_[i] <= 0) continue;
    last = kept_[i].id;
    left -= weights_[i];
    if (left < 0) break;
  }
  return last;
}

int32_t Sampler::choose(const float* logits, int32_t count, const Truncation& cut, double draw) {
  if (cut.temperature <= 0) return argmax(logits, count);
  const float top = greatest(logits, count);
  if (!std::isfinite(top)) return -1;
  if ((cut.topK > 0 && cut.topK < count) || cut.topP < 1) {
    keepTopP(logits, count, cut, top);
  } else {
    const float least = cut.minP > 0 ? top + cut.temperature * std::log(cut.minP) : kNothing;
    kept_.clear();
    for (int32_t i = 0; i < count; i++) {
      if (logits[i] > kNothing && logits[i] >= least) kept_.push_back({i, logits[i]});
    }
    weigh(cut, top);
  }
  if (cut.minP > 0) {
    for (double& weight : weights_) weight = weight >= cut.minP ? weight : 0;
  }
  return invert(draw);
}

}  // namespace stator
