#pragma once
#include <cstdint>
#include <vector>

namespace stator {

/// A token with its logit.
struct Candidate {
  int32_t id;
  float logit;
};

/// How a distribution is cut before a token is drawn from it.
struct Truncation {
  float temperature = 0;  ///< 0 or less: the most likely token
  int32_t topK = 0;       ///< 0 or less: off
  float topP = 1;         ///< 1 or more: off
  float minP = 0;         ///< 0 or less: off
};

/// The id of the greatest logit, the lowest one of equals; -1 when no logit is a number above -infinity.
int32_t argmax(const float* logits, int32_t count);

/// The logarithm of the sum of exp(logit). Logits of -infinity count nothing.
double logSumExp(const float* logits, int32_t count);

/// The rank of a logit among all, from 1.
int32_t rankOf(const float* logits, int32_t count, float logit);

/// Draws tokens. Holds scratch memory only, so one sampler serves any number of sequences, on one thread.
class Sampler {
 public:
  /// The `k` best candidates, best first, the lower id first among equals. Valid until the next call.
  const std::vector<Candidate>& best(const float* logits, int32_t count, int32_t k);

  /// Draws by inversion of the cumulative distribution with `draw` in [0, 1): candidates are laid out best first where
  /// top-k or top-p cut them, by id otherwise. Order of the cuts: top-k, top-p, min-p, all on softmax(logit / T).
  /// -1 when no candidate is left.
  int32_t choose(const float* logits, int32_t count, const Truncation& cut, double draw);

 private:
  void keepTopP(const float* logits, int32_t count, const Truncation& cut, float top);
  void weigh(const Truncation& cut, float top);
  int32_t invert(double draw) const;

  std::vector<Candidate> kept_;
  std::vector<double> weights_;
};

}  // namespace stator
