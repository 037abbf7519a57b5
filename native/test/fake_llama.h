#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "engine/model.h"

namespace stator::test {

constexpr int32_t kFakeVocab = 64;
constexpr int32_t kFakeEnd = 63;
/// This token and those up to the end stand for one byte each, these below for a letter.
constexpr int32_t kFakeFirstByte = 50;
constexpr char kFakeBytes[] = "\xc3\xa9\xe0\xed\xf0\xf4\x80\x90\xa0\xc0\xf5\xff\xbf";

/// How the fake misbehaves; reset by openFake. Set while engine threads run.
struct FakeFaults {
  std::atomic<bool> openFails{false};
  std::atomic<bool> decodeFails{false};
  /// A decode waits until it is aborted.
  std::atomic<bool> decodeHangs{false};
  /// Positions with several components: the state has no rows of its own.
  std::atomic<bool> recurrent{false};

  void reset() { openFails = decodeFails = decodeHangs = recurrent = false; }
};
FakeFaults& fakeFaults();

/// A model behind the table of llama_api.h: the next token depends on every (position, token) that a sequence holds, so
/// one lost or misplaced cell changes the answer. Cells carry a key row of 4 bytes and a value row of 8 per layer (2).
/// Token 63 ends a generation. It checks what the library asserts, and fails the test where that would abort.
std::shared_ptr<Model> openFake();

/// The token that the fake draws after these tokens at positions 0, 1, ….
int32_t fakeNext(const std::vector<int32_t>& tokens);

/// What contexts with streams were asked to compute since the last call: one text per batch, such as "0,1,2x5" for five
/// tokens of three sequences each, and "forget 2:0+7" for the memory of seven cells from the first of sequence 2.
std::vector<std::string> takeFakeCalls();

/// Contexts, models, adapters and grammars that are open now.
int fakeAlive();

}  // namespace stator::test
