#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/model.h"
#include "engine/sampler.h"
#include "engine/step.h"
#include "engine/utf8.h"

namespace stator {

/// One drawn token.
struct Draw {
  int32_t token = -1;
  End end = End::none;
  float logprob = 0;
  int32_t rank = 0;
  std::vector<Candidate> top;  ///< logits hold log-probabilities
  std::string error;
};

/// How likely a token was.
struct Score {
  float logprob = 0;
  std::vector<Candidate> top;  ///< as many as the slot asks for; logits hold log-probabilities
};

/// Memory that draws of all slots share.
struct DrawScratch {
  Sampler sampler;
  std::vector<float> logits;
  std::vector<int32_t> ids;
};

/// The sampling state of one slot: penalties, grammar and the way to its end. Lives on the engine thread.
class Slot {
 public:
  /// Starts sampling. A grammar that does not parse ends the slot: `failure()` says why.
  void open(const std::shared_ptr<Model>& model, Sampling sampling);
  void close();

  bool isOpen() const { return model_ != nullptr; }
  bool hasEnded() const { return ended_; }
  const std::string& failure() const { return failure_; }
  /// The token drawn last, -1 before the first.
  int32_t lastToken() const { return lastToken_; }
  void endNow() { ended_ = true; }
  const Sampling& sampling() const { return sampling_; }

  /// Draws the next token. `logits` (one per token of the vocabulary) stay as they are.
  Draw draw(const float* logits, DrawScratch& scratch);
  /// How likely a token is, before any shaping.
  Score score(const float* logits, int32_t token, DrawScratch& scratch) const;

 private:
  struct Counts {
    bool inPrompt = false;
    int32_t generated = 0;
  };
  struct GrammarFree {
    const stator_llama_api* api;
    void operator()(stator_grammar* grammar) const { api->grammar_free(grammar); }
  };

  void openGrammar();
  bool acceptGenerated();
  /// Whether a token follows by the grammar and leaves the text UTF-8.
  bool allows(int32_t token) const;
  bool keepsText(int32_t token) const;
  void advanceText(int32_t token);
  void remember(int32_t token);
  bool changesLogits() const;
  const float* shape(const float* logits, DrawScratch& scratch) const;
  void applyPenalties(float* logits) const;
  int32_t pick(const float* logits, DrawScratch& scratch, End& end) const;
  int32_t pickMasked(const float* logits, DrawScratch& scratch) const;
  void report(const float* logits, DrawScratch& scratch, Draw& draw) const;
  End endOf(int32_t token);

  std::shared_ptr<Model> model_;
  Sampling sampling_;
  std::unordered_map<int32_t, Counts> counts_;
  std::unique_ptr<stator_grammar, GrammarFree> grammar_{nullptr, GrammarFree{nullptr}};
  /// Where the generated text stands, under a grammar: the library takes bytes for characters that are none.
  Utf8 text_ = Utf8::start;
  int32_t generated_ = 0;
  int32_t lastToken_ = -1;
  bool ended_ = false;
  std::string failure_;
};

}  // namespace stator
