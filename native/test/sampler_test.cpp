#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "check.h"

namespace {

using stator::Candidate;
using stator::Sampler;
using stator::Truncation;
using stator::test::Rng;

constexpr float kNever = -std::numeric_limits<float>::infinity();

std::vector<float> randomLogits(Rng& rng, int32_t count) {
  std::vector<float> logits(static_cast<size_t>(count));
  for (auto& logit : logits) {
    // Few values on purpose: ties are where selections differ.
    logit = rng.below(10) == 0 ? kNever : static_cast<float>(rng.below(40)) / 4 - 5;
  }
  return logits;
}

std::vector<Candidate> sorted(const std::vector<float>& logits) {
  std::vector<Candidate> all;
  for (size_t i = 0; i < logits.size(); i++) {
    if (logits[i] > kNever) all.push_back({static_cast<int32_t>(i), logits[i]});
  }
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.logit > b.logit; });
  return all;
}

/// The definition, step by step, with a full sort.
std::vector<double> naiveDistribution(const std::vector<float>& logits, const Truncation& cut) {
  auto all = sorted(logits);
  std::vector<double> weights;
  if (cut.topK > 0 && static_cast<size_t>(cut.topK) < all.size()) all.resize(static_cast<size_t>(cut.topK));
  for (const auto& each : all) weights.push_back(std::exp((each.logit - all[0].logit) / cut.temperature));
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  double sum = 0;
  size_t kept = 0;
  while (kept < weights.size() && (kept == 0 || sum < cut.topP * total)) sum += weights[kept++];
  std::vector<double> out(logits.size(), 0);
  double left = 0;
  for (size_t i = 0; i < kept; i++) {
    if (weights[i] >= cut.minP) left += out[static_cast<size_t>(all[i].id)] = weights[i];
  }
  for (double& each : out) each /= left;
  return out;
}

}  // namespace

TEST(argmax_takes_the_first_of_the_greatest) {
  Rng rng(1);
  for (int round = 0; round < 500; round++) {
    const auto logits = randomLogits(rng, static_cast<int32_t>(1 + rng.below(70)));
    const auto expected = sorted(logits);
    const int32_t found = stator::argmax(logits.data(), static_cast<int32_t>(logits.size()));
    CHECK(found == (expected.empty() ? -1 : expected[0].id));
  }
  const float strange[] = {NAN, 1, NAN, 3, kNever};
  CHECK(stator::argmax(strange, 5) == 3);
  const float nothing[] = {NAN, kNever};
  CHECK(stator::argmax(nothing, 2) == -1);
}

TEST(best_equals_a_full_sort) {
  Rng rng(2);
  Sampler sampler;
  for (int round = 0; round < 500; round++) {
    const auto logits = randomLogits(rng, static_cast<int32_t>(1 + rng.below(400)));
    const auto count = static_cast<int32_t>(logits.size());
    const auto k = static_cast<int32_t>(rng.below(static_cast<uint64_t>(count) + 3));
    auto expected = sorted(logits);
    expected.resize(std::min(expected.size(), static_cast<size_t>(k)));
    const auto& found = sampler.best(logits.data(), count, k);
    CHECK(found.size() == expected.size());
    for (size_t i = 0; i < std::min(found.size(), expected.size()); i++) CHECK(found[i].id == expected[i].id);
  }
}

TEST(choose_follows_the_naive_distribution) {
  Rng rng(3);
  Sampler sampler;
  for (int round = 0; round < 60; round++) {
    const auto logits = randomLogits(rng, static_cast<int32_t>(4 + rng.below(200)));
    const auto count = static_cast<int32_t>(logits.size());
    if (sorted(logits).empty()) continue;
    const Truncation cut{.temperature = static_cast<float>(0.3 + rng.unit()),
                         .topK = rng.below(2) ? static_cast<int32_t>(1 + rng.below(30)) : 0,
                         .topP = rng.below(2) ? static_cast<float>(0.2 + 0.79 * rng.unit()) : 1,
                         .minP = rng.below(2) ? static_cast<float>(0.3 * rng.unit()) : 0};
    const auto expected = naiveDistribution(logits, cut);
    std::vector<double> seen(logits.size(), 0);
    constexpr int draws = 2000;
    // Evenly spaced draws measure each interval of the cumulative distribution.
    for (int i = 0; i < draws; i++) {
      const int32_t id = sampler.choose(logits.data(), count, cut, (i + 0.5) / draws);
      CHECK(id >= 0 && id < count);
      if (id >= 0) seen[static_cast<size_t>(id)] += 1.0 / draws;
    }
    for (size_t i = 0; i < seen.size(); i++) CHECK(std::abs(seen[i] - expected[i]) < 2.0 / draws + 1e-4);
  }
}

TEST(choose_at_its_borders) {
  Sampler sampler;
  const float logits[] = {1, 2, 3, kNever};
  CHECK(sampler.choose(logits, 4, {.temperature = 0}, 0.99) == 2);
  CHECK(sampler.choose(logits, 4, {.temperature = 1, .topK = 1}, 0.99) == 2);
  CHECK(sampler.choose(logits, 4, {.temperature = 1, .topP = 0}, 0.99) == 2);
  CHECK(sampler.choose(logits, 4, {.temperature = 1, .minP = 1}, 0.99) == 2);
  CHECK(sampler.choose(logits, 4, {.temperature = 1}, 0) == 0);
  CHECK(sampler.choose(logits, 4, {.temperature = 1}, std::nextafter(1.0, 0.0)) == 2);
  CHECK(sampler.choose(logits, 4, {.temperature = 1e-30f, .topP = 0.9f}, 0.5) == 2);
  CHECK(sampler.choose(logits, 4, {.temperature = 1e30f, .topK = 100}, 0.99) == 2);
  const float nothing[] = {kNever, kNever};
  CHECK(sampler.choose(nothing, 2, {.temperature = 1, .topK = 1}, 0.5) == -1);
  CHECK(sampler.choose(nothing, 2, {.temperature = 0}, 0.5) == -1);
}

TEST(log_sum_exp_and_rank) {
  const float logits[] = {0, std::log(2.0f), std::log(5.0f), kNever};
  CHECK(std::abs(stator::logSumExp(logits, 4) - std::log(8.0)) < 1e-6);
  CHECK(stator::rankOf(logits, 4, logits[2]) == 1);
  CHECK(stator::rankOf(logits, 4, logits[0]) == 3);
}
