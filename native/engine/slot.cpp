#include "engine/slot.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/random.h"
#include "engine/gbnf.h"

namespace stator {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
/// Best candidates that are tried one by one before a grammar masks the whole vocabulary.
constexpr int32_t kGreedyTries = 16;

}  // namespace

void Slot::open(const std::shared_ptr<Model>& model, Sampling sampling) {
  close();
  model_ = model;
  sampling_ = std::move(sampling);
  generated_ = sampling_.firstPosition;
  if (sampling_.repetitionPenalty != 1) {
    for (const int32_t token : sampling_.promptTokens) counts_[token].inPrompt = true;
  }
  for (const int32_t token : sampling_.generatedTokens) remember(token);
  if (!sampling_.generatedTokens.empty()) lastToken_ = sampling_.generatedTokens.back();
  if (!sampling_.grammar.empty()) openGrammar();
  sampling_.promptTokens = {};
  sampling_.grammar = {};
}

void Slot::close() {
  model_ = nullptr;
  counts_.clear();
  grammar_ = nullptr;
  text_ = Utf8::start;
  lastToken_ = -1;
  ended_ = false;
  failure_.clear();
}

void Slot::openGrammar() {
  const auto& api = model_->api();
  const auto isToken = [&](std::string_view text) {
    return tokenize(*model_, text.data(), text.size(), false, true).size() == 1;
  };
  failure_ = refuseGbnf(sampling_.grammar, {model_->vocab.size, isToken});
  if (!failure_.empty()) return;
  const LibraryLog::Capture errors;
  char why[256] = "";
  grammar_ = {api.grammar_open(model_->handle, sampling_.grammar.c_str(), {why, sizeof why}), GrammarFree{&api}};
  if (grammar_ == nullptr) failure_ = "The grammar does not parse: " + errors.text(why[0] != 0 ? why : "no reason given");
  if (grammar_ != nullptr && !acceptGenerated()) failure_ = "The generated tokens do not follow the grammar.";
}

bool Slot::acceptGenerated() {
  for (const int32_t token : sampling_.generatedTokens) {
    if (!keepsText(token) || !model_->api().grammar_accept(grammar_.get(), token)) return false;
    advanceText(token);
  }
  return true;
}

bool Slot::allows(int32_t token) const {
  return keepsText(token) && model_->api().grammar_allows(grammar_.get(), token);
}

bool Slot::keepsText(int32_t token) const {
  return (model_->textBefore()[static_cast<size_t>(token)] & only(text_)) != 0;
}

void Slot::advanceText(int32_t token) {
  std::string piece;
  appendPiece(*model_, token, piece);
  text_ = utf8After(text_, piece);
}

void Slot::remember(int32_t token) {
  const bool counts =
      sampling_.repetitionPenalty != 1 || sampling_.frequencyPenalty != 0 || sampling_.presencePenalty != 0;
  if (counts) counts_[token].generated++;
}

bool Slot::changesLogits() const {
  return !sampling_.biasIds.empty() || !counts_.empty() || generated_ < sampling_.minTokens;
}

void Slot::applyPenalties(float* logits) const {
  for (const auto& [token, seen] : counts_) {
    float& logit = logits[token];
    logit = logit > 0 ? logit / sampling_.repetitionPenalty : logit * sampling_.repetitionPenalty;
    logit -= sampling_.frequencyPenalty * static_cast<float>(seen.generated);
    logit -= seen.generated > 0 ? sampling_.presencePenalty : 0;
  }
}

const float* Slot::shape(const float* logits, DrawScratch& scratch) const {
  if (!changesLogits()) return logits;
  scratch.logits.assign(logits, logits + model_->vocab.size);
  float* shaped = scratch.logits.data();
  for (size_t i = 0; i < sampling_.biasIds.size(); i++) shaped[sampling_.biasIds[i]] += sampling_.biasValues[i];
  applyPenalties(shaped);
  if (generated_ < sampling_.minTokens) {
    for (const int32_t token : model_->endTokens) shaped[token] = kNever;
    for (const int32_t token : sampling_.stopTokens) shaped[token] = kNever;
  }
  return shaped;
}

int32_t Slot::pickMasked(const float* logits, DrawScratch& scratch) const {
  const int32_t size = model_->vocab.size;
  if (logits != scratch.logits.data()) scratch.logits.assign(logits, logits + size);
  scratch.ids.resize(static_cast<size_t>(size));
  for (int32_t i = 0; i < size; i++) scratch.ids[static_cast<size_t>(i)] = i;
  model_->api().grammar_mask(grammar_.get(), scratch.ids.data(), scratch.logits.data(), static_cast<size_t>(size));
  const auto& textBefore = model_->textBefore();
  for (size_t i = 0; i < textBefore.size(); i++) {
    if (!(textBefore[i] & only(text_))) scratch.logits[i] = kNever;
  }
  const double draw = uniformDraw(sampling_.seed, sampling_.choice, static_cast<uint32_t>(generated_),
                                  Lane::afterRejection);
  return scratch.sampler.choose(scratch.logits.data(), size,
                                {sampling_.temperature, sampling_.topK, sampling_.topP, sampling_.minP}, draw);
}

int32_t Slot::pick(const float* logits, DrawScratch& scratch, End& end) const {
  const int32_t size = model_->vocab.size;
  const double draw = sampling_.temperature > 0 ? uniformDraw(sampling_.seed, sampling_.choice,
                                                              static_cast<uint32_t>(generated_), Lane::own)
                                                : 0;
  const int32_t token = scratch.sampler.choose(
      logits, size, {sampling_.temperature, sampling_.topK, sampling_.topP, sampling_.minP}, draw);
  if (grammar_ == nullptr || token < 0 || allows(token)) return token;
  if (sampling_.temperature <= 0) {
    for (const auto& candidate : scratch.sampler.best(logits, size, kGreedyTries)) {
      if (allows(candidate.id)) return candidate.id;
    }
  }
  const int32_t masked = pickMasked(logits, scratch);
  if (masked < 0) end = End::grammar;
  return masked;
}

Score Slot::score(const float* logits, int32_t token, DrawScratch& scratch) const {
  const int32_t size = model_->vocab.size;
  const double total = logSumExp(logits, size);
  Score out{static_cast<float>(logits[token] - total), {}};
  if (sampling_.logprobs <= 0) return out;
  out.top = scratch.sampler.best(logits, size, sampling_.logprobs);
  for (auto& candidate : out.top) candidate.logit = static_cast<float>(candidate.logit - total);
  return out;
}

void Slot::report(const float* logits, DrawScratch& scratch, Draw& draw) const {
  auto scored = score(logits, draw.token, scratch);
  draw.logprob = scored.logprob;
  draw.rank = rankOf(logits, model_->vocab.size, logits[draw.token]);
  draw.top = std::move(scored.top);
}

End Slot::endOf(int32_t token) {
  if (!sampling_.ignoreEos && model_->ends(token)) return End::eog;
  const auto& stops = sampling_.stopTokens;
  if (std::find(stops.begin(), stops.end(), token) != stops.end()) return End::stop;
  if (sampling_.maxTokens > 0 && generated_ >= sampling_.maxTokens) return End::length;
  return End::none;
}

Draw Slot::draw(const float* logits, DrawScratch& scratch) {
  Draw drawn;
  if (!failure_.empty()) {
    drawn.end = End::error;
    drawn.error = failure_;
    ended_ = true;
    return drawn;
  }
  drawn.token = pick(shape(logits, scratch), scratch, drawn.end);
  if (drawn.token < 0) {
    if (drawn.end == End::none) {
      drawn.end = End::error;
      drawn.error = "The model left no token to choose from.";
    }
    ended_ = true;
    return drawn;
  }
  if (sampling_.logprobs >= 0) report(logits, scratch, drawn);
  generated_++;
  lastToken_ = drawn.token;
  remember(drawn.token);
  drawn.end = endOf(drawn.token);
  if (drawn.end == End::none && grammar_ != nullptr) {
    advanceText(drawn.token);
    if (!model_->api().grammar_accept(grammar_.get(), drawn.token)) drawn.end = End::grammar;
  }
  ended_ = drawn.end != End::none;
  return drawn;
}

}  // namespace stator
