#include "engine/slot.h"

#include <limits>
#include <string>

#include "check.h"
#include "fake_llama.h"

namespace {

using namespace stator;
using namespace stator::test;

struct Text {
  std::shared_ptr<Model> model = openFake();
  DrawScratch scratch;
  Slot slot;

  explicit Text(Sampling sampling) {
    sampling.grammar = "root ::= .*";
    slot.open(model, std::move(sampling));
  }

  Draw draw(const std::vector<float>& logits) { return slot.draw(logits.data(), scratch); }
};

int32_t byteToken(char byte) {
  return kFakeFirstByte + static_cast<int32_t>(std::string_view(kFakeBytes).find(byte));
}

/// The earlier a token is in the list, the likelier it is; the letter A comes after them and all others never.
std::vector<float> wish(const std::vector<int32_t>& tokens) {
  std::vector<float> logits(kFakeVocab, -std::numeric_limits<float>::infinity());
  logits[0] = 0;
  for (size_t i = 0; i < tokens.size(); i++) logits[static_cast<size_t>(tokens[i])] = 40 - static_cast<float>(i);
  return logits;
}

}  // namespace

TEST(under_a_grammar_no_token_breaks_a_character) {
  const auto c = [](char byte) { return byteToken(byte); };
  const struct {
    std::vector<int32_t> drawn, wished;
    int32_t next;
  } cases[] = {
      {{}, {c('\x80'), c('\xc0'), c('\xf5'), c('\xff'), c('\xc3')}, c('\xc3')},
      {{c('\xc3')}, {kFakeEnd, 0, c('\xe0'), c('\xa9')}, c('\xa9')},
      {{c('\xc3'), c('\xa9')}, {c('\xa9'), kFakeEnd}, kFakeEnd},
      {{c('\xe0')}, {c('\x80'), c('\x90'), c('\xa0')}, c('\xa0')},
      {{c('\xed')}, {c('\xa0'), c('\xbf'), c('\x90')}, c('\x90')},
      {{c('\xf0')}, {c('\x80'), c('\xa0')}, c('\xa0')},
      {{c('\xf4')}, {c('\x90'), c('\xbf'), c('\x80')}, c('\x80')},
      {{c('\xf4'), c('\x80'), c('\xbf')}, {0, c('\xbf')}, c('\xbf')},
  };
  for (const auto& [drawn, wished, next] : cases) {
    for (const float temperature : {0.0f, 0.01f}) {
      Text text({.temperature = temperature});
      for (const int32_t token : drawn) CHECK(text.draw(wish({token})).token == token);
      CHECK(text.draw(wish(wished)).token == next);
      Text moved({.temperature = temperature, .generatedTokens = drawn});
      CHECK(moved.draw(wish(wished)).token == next);
    }
  }
}

TEST(a_character_that_nothing_completes_ends_a_grammar) {
  Text text({});
  CHECK(text.draw(wish({byteToken('\xc3')})).token == byteToken('\xc3'));
  CHECK(text.draw(wish({})).end == End::grammar);
  Text broken({.generatedTokens = {byteToken('\xc3'), 0}});
  CHECK(broken.slot.failure() == "The generated tokens do not follow the grammar.");
}

TEST(random_texts_under_a_grammar_are_utf8) {
  Rng rng(11);
  for (int round = 0; round < 300; round++) {
    Text text({.temperature = 1, .seed = rng.next(), .ignoreEos = true});
    std::string bytes;
    for (int i = 0; i < 40; i++) {
      std::vector<float> logits(kFakeVocab);
      for (auto& logit : logits) logit = static_cast<float>(rng.unit()) * 4;
      appendPiece(*text.model, text.draw(logits).token, bytes);
      CHECK(utf8After(Utf8::start, bytes) != Utf8::broken);
    }
  }
}

TEST(without_a_grammar_any_token_follows) {
  Text text({});
  text.slot.open(text.model, {});
  CHECK(text.draw(wish({byteToken('\xff')})).token == byteToken('\xff'));
}
