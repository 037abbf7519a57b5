#include "engine/engine.h"

#include <chrono>
#include <thread>

#include "bench.h"
#include "check.h"
#include "core/xxh3.h"
#include "fake_llama.h"

namespace {

using namespace stator;
using namespace stator::test;

Code codeOf(const std::function<void()>& work) {
  try {
    work();
  } catch (const Failure& failure) {
    return failure.code;
  }
  fail(__FILE__, __LINE__, "nothing was thrown");
  return Code::internal;
}

}  // namespace

TEST(a_sequence_runs_chained_to_its_limit) {
  Bench bench;
  std::vector<int32_t> tokens = {5, 9, 12};
  bench.engine->openSequence(2, {.maxTokens = 5});
  auto result = bench.run(bench.plan(2, 0, tokens, kFlagSample));
  for (int i = 0; i < 5; i++) {
    const int32_t expected = fakeNext(tokens);
    CHECK(result->tokens[0] == expected);
    CHECK(result->ends[0] == static_cast<uint8_t>(i == 4 ? End::length : End::none));
    tokens.push_back(expected);
    result = bench.run(bench.plan(2, static_cast<int32_t>(tokens.size()) - 1, {}, kFlagSample | kFlagChained));
  }
  CHECK(result->ends[0] == static_cast<uint8_t>(End::skipped) && result->tokens[0] == -1);
}

TEST(prompts_are_scored_where_it_is_asked_for) {
  Bench bench;
  const std::vector<int32_t> prompt = {5, 9, 12, 7};
  bench.engine->openSequence(1, {.maxTokens = 3, .logprobs = 2});
  auto plan = bench.plan(1, 0, prompt, kFlagSample | kFlagScore);
  plan.targets = {9, -1, 7, -1};
  const auto result = bench.run(plan);
  CHECK((result->scoreEntries == std::vector<int32_t>{0, 0}));
  CHECK(result->scoreTopIds.size() == 4 && result->scoreTopValues.size() == 4);
  // A row's logits are minus the distance to the token that the fake would draw there.
  const auto likeliest = [&](size_t length) { return fakeNext({prompt.begin(), prompt.begin() + length}); };
  CHECK(result->scoreTopIds[0] == likeliest(1) && result->scoreTopIds[2] == likeliest(3));
  const auto distance = [](int32_t a, int32_t b) { return static_cast<float>(std::abs(a - b)); };
  CHECK(std::abs(result->scoreTopValues[0] - result->scores[0] - distance(9, likeliest(1))) < 1e-4);
  CHECK(std::abs(result->scoreTopValues[2] - result->scores[1] - distance(7, likeliest(3))) < 1e-4);
  CHECK(result->tokens[0] == fakeNext(prompt) && result->logprobs.size() == 1);
}

TEST(more_rows_than_a_context_gives_are_refused) {
  Bench bench;
  bench.engine->openSequence(0, {.maxTokens = 3, .logprobs = 0});
  // Four slots and the scratch sequence: five rows.
  auto plan = bench.plan(0, 0, {1, 2, 3, 4, 5}, kFlagSample | kFlagScore);
  plan.targets = {2, 3, 4, 5, 6};
  CHECK(codeOf([&] { bench.engine->submitStep(plan); }) == Code::invalidArgument);
  plan.targets = {2, 3, 4, 5, -1};
  CHECK(bench.run(plan)->scores.size() == 4);
  for (const auto& targets : std::vector<std::vector<int32_t>>{{}, {1, 2}, {-2}, {kFakeVocab}}) {
    auto bad = bench.plan(0, 5, {6}, kFlagScore);
    bad.targets = targets;
    CHECK(codeOf([&] { bench.engine->submitStep(bad); }) == Code::invalidArgument);
  }
}

TEST(prefix_copy_and_block_transfer_keep_every_cell) {
  Bench bench;
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 20; i++) tokens.push_back((i * 7) % 60);
  bench.engine->openSequence(0, {});
  CHECK(bench.run(bench.plan(0, 0, tokens, kFlagSample))->tokens[0] == fakeNext(tokens));
  auto copy = bench.plan(1, 16, {40, 41, 42, 43}, kFlagSample);
  copy.ops = {kOpCopy, 0, 1, 0, 16};
  bench.engine->openSequence(1, {});
  auto changed = tokens;
  std::copy_n(std::vector<int32_t>{40, 41, 42, 43}.begin(), 4, changed.begin() + 16);
  CHECK(bench.run(std::move(copy))->tokens[0] == fakeNext(changed));

  Bench other;
  std::vector<std::vector<uint8_t>> blocks(4, std::vector<uint8_t>(5 * 24));
  bench.engine->exportBlocks(10, 0, 0, {blocks.begin(), blocks.end()});
  const auto reply = bench.ear.reply();
  CHECK(!reply->failure && reply->request == 10 && reply->checksums.size() == 4 && reply->durationUs > 0);
  for (size_t i = 0; i < 4; i++) CHECK(reply->checksums[i] == xxh3(blocks[i].data(), blocks[i].size(), kChecksumSeed));
  blocks[2][7] ^= 1;
  other.engine->importBlocks(12, 3, 0, {blocks.begin(), blocks.end()}, reply->checksums);
  CHECK(other.ear.reply()->taken == 2);
  other.engine->importBlocks(13, 3, 10, {blocks[2]}, {reply->checksums[2]});
  CHECK(other.ear.reply()->taken == 0);
  blocks[2][7] ^= 1;
  other.engine->importBlocks(14, 3, 10, {blocks[2], blocks[3]}, {});
  CHECK(other.ear.reply()->taken == 2);
  std::vector<uint8_t> small(5 * 24 - 1);
  std::vector<uint8_t> one(24);
  CHECK(codeOf([&] { bench.engine->exportBlocks(15, 0, 0, {small}); }) == Code::invalidArgument);
  CHECK(codeOf([&] { bench.engine->exportBlocks(15, 0, 0, {}); }) == Code::invalidArgument);
  CHECK(codeOf([&] { bench.engine->exportBlocks(15, 0, 0, {one, blocks[0]}); }) == Code::invalidArgument);
  CHECK(codeOf([&] { bench.engine->exportBlocks(15, 0, 255, {one, one}); }) == Code::invalidArgument);
  CHECK(codeOf([&] { bench.engine->importBlocks(15, 0, 0, {one, one}, {1}); }) == Code::invalidArgument);
  other.engine->openSequence(3, {});
  auto longer = tokens;
  longer.push_back(1);
  CHECK(other.run(other.plan(3, 20, {1}, kFlagSample))->tokens[0] == fakeNext(longer));
}

TEST(blocks_pass_through_memory_that_was_lent_as_far_as_they_fit) {
  Bench bench, other;
  bench.engine->openSequence(0, {});
  bench.run(bench.plan(0, 0, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, kFlagSample));
  std::vector<std::vector<uint8_t>> own(2, std::vector<uint8_t>(5 * 24));
  auto blocks = own;
  const auto move = [&](std::vector<std::vector<uint8_t>>& to) {
    bench.engine->exportBlocks(1, 0, 0, {to.begin(), to.end()});
    return !bench.ear.reply()->failure;
  };
  CHECK(move(own));
  const size_t needed = bench.engine->stagingBytes(5, 2);
  int32_t slot = 0;
  // A block passes, and the next one in the same place; a byte less is not enough for one.
  for (const size_t size : {needed, needed - 1}) {
    std::vector<uint8_t> lent(size), back(size);
    const std::vector<uint8_t> untouched(size);
    bench.engine->stage(2, lent);
    CHECK(bench.ear.reply()->request == 2);
    CHECK(move(blocks) && blocks == own);
    CHECK((lent == untouched) == (size < needed));
    other.engine->stage(3, back);
    other.ear.reply();
    other.engine->importBlocks(4, ++slot, 0, {blocks.begin(), blocks.end()}, {});
    CHECK(other.ear.reply()->taken == 2);
    CHECK((back == untouched) == (size < needed));
    other.engine->openSequence(slot, {});
    const auto next = other.run(other.plan(slot, 10, {11}, kFlagSample))->tokens[0];
    CHECK(next == fakeNext({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
    // What is not lent any more is not touched any more.
    for (auto* each : {&bench, &other}) {
      each->engine->stage(5, {});
      each->ear.reply();
    }
    lent = untouched;
    CHECK(move(blocks) && blocks == own && lent == untouched);
  }
}

TEST(a_bad_entry_spoils_itself_alone) {
  Bench bench;
  bench.engine->openSequence(0, {});
  auto plan = bench.plan(0, 0, {1, 2}, kFlagSample);
  plan.slots = {0, 1, 2, 3};
  plan.positions = {0, 5, 0, 0};
  plan.counts = {2, 1, 1, 1};
  plan.flags = {kFlagSample, 0, kFlagSample, kFlagChained};
  plan.tokens = {1, 2, 3, 4};
  plan.ops = {kOpCopy, 3, 2, 0, 4};
  const auto result = bench.run(std::move(plan));
  CHECK(result->status == StepStatus::ok && result->tokens[0] == fakeNext({1, 2}));
  for (int i = 1; i < 4; i++) CHECK(result->ends[static_cast<size_t>(i)] == static_cast<uint8_t>(End::error));
  CHECK(result->errors.size() == 4);
}

TEST(a_failed_step_discards_those_that_did_not_know) {
  Bench bench;
  bench.engine->openSequence(0, {});
  fakeFaults().decodeHangs = true;
  bench.engine->submitStep(bench.plan(0, 0, {1}, kFlagSample));
  auto second = bench.plan(0, 1, {}, kFlagSample | kFlagChained);
  second.ops = {kOpRemove, 0, 0, -1, 0};
  bench.engine->submitStep(std::move(second));
  CHECK(codeOf([&] { bench.engine->submitStep(bench.plan(0, 2, {1}, 0)); }) == Code::invalidArgument);
  bench.engine->abortStep(0);
  const auto aborted = bench.finish();
  fakeFaults().decodeHangs = false;
  CHECK(aborted->status == StepStatus::aborted && aborted->tokens[0] == -1);
  CHECK(bench.finish()->status == StepStatus::discarded);
  CHECK(bench.run(bench.plan(0, 0, {1}, kFlagSample))->tokens[0] == fakeNext({1}));
  fakeFaults().decodeFails = true;
  const auto failed = bench.run(bench.plan(0, 1, {2}, kFlagSample));
  CHECK(failed->status == StepStatus::error && failed->errors[0].slot == -1);
  fakeFaults().decodeFails = false;
  CHECK(bench.run(bench.plan(0, 1, {2}, kFlagSample))->tokens[0] == fakeNext({1, 2}));
}

TEST(a_step_that_waits_can_be_aborted_before_it_runs) {
  Bench bench;
  bench.engine->openSequence(0, {});
  fakeFaults().decodeHangs = true;
  bench.engine->submitStep(bench.plan(0, 0, {1}, kFlagSample));
  bench.engine->submitStep(bench.plan(1, 0, {1}, 0));
  bench.engine->abortStep(1);
  bench.engine->abortStep(0);
  CHECK(bench.finish()->status == StepStatus::aborted);
  CHECK(bench.finish()->status == StepStatus::discarded);
  fakeFaults().decodeHangs = false;
  CHECK(bench.run(bench.plan(1, 0, {1}, 0))->status == StepStatus::ok);
  bench.engine->abortStep(99);
  bench.engine->abortStep(2);
  CHECK(bench.run(bench.plan(1, 1, {1}, 0))->status == StepStatus::ok);
}

TEST(no_space_is_said_and_healed_by_removal) {
  Bench bench(256);
  std::vector<int32_t> tokens(60, 3);
  for (int32_t i = 0; i < 4; i++) CHECK(bench.run(bench.plan(0, i * 60, tokens, 0))->status == StepStatus::ok);
  CHECK(bench.run(bench.plan(1, 0, std::vector<int32_t>(20, 4), 0))->status == StepStatus::noSpace);
  const std::vector<uint8_t> block(20 * 24, 4);
  bench.engine->importBlocks(5, 2, 0, {block}, {});
  const auto reply = bench.ear.reply();
  CHECK(reply->failure.has_value() && reply->failure->code == Code::noSpace);
  auto plan = bench.plan(1, 0, std::vector<int32_t>(20, 4), 0);
  plan.ops = {kOpRemove, 0, 0, -1, 0};
  CHECK(bench.run(std::move(plan))->status == StepStatus::ok);
}

TEST(grammar_penalties_and_end_tokens) {
  Bench bench;
  bench.engine->openSequence(0, {.grammar = "root ::= <[7]>"});
  CHECK(bench.run(bench.plan(0, 0, {1}, kFlagSample))->tokens[0] == 7);
  CHECK(bench.run(bench.plan(0, 1, {}, kFlagSample | kFlagChained))->tokens[0] == 7);
  const auto end = bench.run(bench.plan(0, 2, {}, kFlagSample | kFlagChained));
  CHECK(end->tokens[0] == kFakeEnd && end->ends[0] == static_cast<uint8_t>(End::eog));

  bench.engine->openSequence(1, {.grammar = "root ::= <[7]>", .generatedTokens = {7, 8}});
  CHECK(bench.run(bench.plan(1, 0, {1}, 0))->ends[0] == static_cast<uint8_t>(End::error));
  bench.engine->openSequence(1, {.temperature = 1, .grammar = "root ::= <[7]>", .generatedTokens = {7, 7}});
  CHECK(bench.run(bench.plan(1, 0, {1}, kFlagSample))->tokens[0] == kFakeEnd);

  bench.engine->openSequence(2, {.presencePenalty = 1000});
  const auto first = bench.run(bench.plan(2, 0, {9}, kFlagSample))->tokens[0];
  CHECK(first == fakeNext({9}));
  bench.engine->openSequence(3, {.presencePenalty = 1000, .logprobs = 3, .generatedTokens = {first}});
  const auto other = bench.run(bench.plan(3, 0, {9}, kFlagSample));
  CHECK(other->tokens[0] != first && other->ranks[0] == 2 && other->topIds[0] == first && other->topIds.size() == 3);
}

TEST(embedding_runs_in_batches_between_steps) {
  Bench bench;
  EmbedJob job;
  for (int32_t i = 0; i < 40; i++) job.inputs.push_back(std::vector<int32_t>(10, i));
  job.normalize = false;
  bench.engine->embed(9, std::move(job));
  CHECK(bench.run(bench.plan(0, 0, {1}, 0))->status == StepStatus::ok);
  const auto reply = bench.ear.reply();
  CHECK(!reply->failure && reply->vectors.size() == 40 && reply->vectors[39][1] == 40);
  CHECK(codeOf([&] { bench.engine->embed(9, {}); }) == Code::invalidArgument);
  CHECK(codeOf([&] { bench.engine->embed(9, {.inputs = {{64}}}); }) == Code::invalidArgument);
}

TEST(a_context_that_does_not_open_says_why) {
  Ear ear;
  auto model = openFake();
  fakeFaults().openFails = true;
  Engine engine(model, {.cells = 256, .slots = 4, .batchTokens = 64}, ear);
  const auto reply = ear.reply();
  CHECK(reply->failure.has_value() && reply->failure->code == Code::outOfMemory);
}

TEST(state_that_is_not_per_token_is_neither_copied_nor_exported) {
  auto model = openFake();
  fakeFaults().recurrent = true;
  auto recurrent = std::make_shared<Model>(model->library, model->handle, false);
  Ear ear;
  {
    Engine engine(recurrent, {.cells = 256, .slots = 4, .batchTokens = 64}, ear);
    CHECK(!ear.reply()->failure);
    StepPlan plan;
    plan.ops = {kOpCopy, 0, 1, 0, 4};
    CHECK(codeOf([&] { engine.submitStep(plan); }) == Code::invalidArgument);
    std::vector<uint8_t> bytes(24);
    CHECK(codeOf([&] { engine.exportBlocks(4, 0, 0, {bytes}); }) == Code::unsupported);
    CHECK(codeOf([&] { engine.importBlocks(4, 0, 0, {bytes}, {}); }) == Code::unsupported);
  }
  // Both names of the handle would free it.
  const_cast<stator_model*&>(model->handle) = nullptr;
}

TEST(closing_in_the_middle_joins_and_leaks_nothing) {
  const int before = fakeAlive();
  for (int round = 0; round < 30; round++) {
    std::vector<uint8_t> bytes(2 * 24);
    Bench bench;
    auto adapter = std::make_shared<Adapter>(bench.model, bench.model->api().adapter_open(nullptr, "", {}));
    bench.engine->openSequence(0, {.grammar = "root ::= <[7]>"});
    auto plan = bench.plan(0, 0, {1, 2, 3}, kFlagSample);
    plan.adapter = adapter;
    bench.engine->submitStep(std::move(plan));
    fakeFaults().decodeHangs = round % 2 == 0;
    bench.engine->submitStep(bench.plan(1, 0, {1}, 0));
    bench.engine->exportBlocks(3, 0, 0, {bytes});
    if (round % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
    bench.engine->stop();
    CHECK(codeOf([&] { bench.engine->exportBlocks(3, 0, 0, {bytes}); }) == Code::closed);
    fakeFaults().decodeHangs = false;
  }
  CHECK(fakeAlive() == before);
}

TEST(random_plans_never_reach_an_assertion) {
  Rng rng(5);
  Bench bench;
  for (int round = 0; round < 3000; round++) {
    StepPlan plan;
    plan.step = bench.nextStep;
    const auto small = [&](int32_t most) { return static_cast<int32_t>(rng.below(static_cast<uint64_t>(most) + 2)) - 1; };
    for (uint64_t i = rng.below(3); i > 0; i--) {
      for (const int32_t part : {small(2), small(4), small(4), small(20), small(30)}) plan.ops.push_back(part);
    }
    for (uint64_t i = rng.below(4); i > 0; i--) {
      plan.slots.push_back(small(4));
      plan.positions.push_back(small(20));
      plan.counts.push_back(rng.below(3) ? 1 : small(12));
      plan.flags.push_back(static_cast<uint8_t>(rng.below(9)));
      const bool chained = plan.flags.back() & kFlagChained;
      for (int32_t k = 0; !chained && k < plan.counts.back(); k++) plan.tokens.push_back(small(63));
      const bool scores = plan.flags.back() & kFlagScore;
      for (int32_t k = 0; scores && k < plan.counts.back(); k++) plan.targets.push_back(small(63));
    }
    if (rng.below(4) == 0) bench.engine->openSequence(static_cast<int32_t>(rng.below(4)), {.maxTokens = 3, .logprobs = static_cast<int32_t>(rng.below(3))});
    if (rng.below(9) == 0) bench.engine->closeSequence(static_cast<int32_t>(rng.below(4)));
    try {
      bench.engine->submitStep(plan);
    } catch (const Failure& failure) {
      CHECK(failure.code == Code::invalidArgument);
      continue;
    }
    bench.nextStep++;
    const auto result = bench.finish();
    CHECK(result->status == StepStatus::ok || result->status == StepStatus::noSpace);
  }
}
