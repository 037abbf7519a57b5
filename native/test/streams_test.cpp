#include <numeric>

#include "bench.h"
#include "check.h"
#include "core/xxh3.h"
#include "fake_llama.h"

namespace {

using namespace stator;
using namespace stator::test;

const EngineOptions kStreams{.cells = 200, .slots = 5, .batchTokens = 160, .streams = true, .hostMemory = true};

std::vector<int32_t> counted(int32_t count, int32_t from) {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (int32_t i = 0; i < count; i++) tokens[static_cast<size_t>(i)] = (from + i * 7) % 60;
  return tokens;
}

/// Adds an entry to a plan.
void add(StepPlan& plan, int32_t slot, int32_t position, const std::vector<int32_t>& tokens, uint8_t flags) {
  plan.slots.push_back(slot);
  plan.positions.push_back(position);
  plan.counts.push_back(static_cast<int32_t>(tokens.size()));
  plan.flags.push_back(flags);
  plan.tokens.insert(plan.tokens.end(), tokens.begin(), tokens.end());
}

StepPlan emptyPlan(Bench& bench) {
  StepPlan made;
  made.step = bench.nextStep++;
  return made;
}

/// The first decode of an engine learns the layout.
void skipOpening() { takeFakeCalls(); }

}  // namespace

TEST(a_slot_has_one_cell_to_spare) {
  takeFakeCalls();
  Bench bench(kStreams);
  CHECK(!bench.opened->failure.has_value());
  CHECK(bench.engine->limits().cells == 255);
  CHECK(bench.engine->layout().exportable());
  // What opening touched goes back: the cells of all five slots.
  const std::vector<std::string> expected = {"0x2", "forget 0:0+1280"};
  CHECK(takeFakeCalls() == expected);
}

TEST(short_entries_go_side_by_side_and_long_ones_alone) {
  Bench bench(kStreams);
  skipOpening();
  for (int32_t slot = 0; slot < 5; slot++) bench.engine->openSequence(slot, {.logprobs = 2});
  auto plan = emptyPlan(bench);
  add(plan, 4, 0, counted(3, 4), kFlagSample);
  add(plan, 1, 0, counted(64, 1), kFlagSample);
  add(plan, 0, 0, counted(1, 0), kFlagSample);
  add(plan, 3, 0, counted(5, 3), kFlagSample);
  const auto result = bench.run(std::move(plan));
  CHECK(result->status == StepStatus::ok);
  const std::vector<std::string> expected = {"0x1", "3,4x3", "3x2", "1x64"};
  CHECK(takeFakeCalls() == expected);
  // Answers come in the order of the entries, whatever was computed first.
  CHECK(result->tokens[0] == fakeNext(counted(3, 4)) && result->tokens[1] == fakeNext(counted(64, 1)));
  CHECK(result->tokens[2] == fakeNext(counted(1, 0)) && result->tokens[3] == fakeNext(counted(5, 3)));
  const std::vector<int32_t> entries = {0, 0, 1, 1, 2, 2, 3, 3};
  CHECK(result->topEntries == entries);
}

TEST(a_row_is_never_alone_where_that_changes_sums) {
  auto options = kStreams;
  options.pairRows = true;
  Bench bench(options);
  skipOpening();
  for (const int32_t slot : {0, 4}) bench.engine->openSequence(slot, {});
  auto plan = emptyPlan(bench);
  add(plan, 0, 0, counted(1, 0), kFlagSample);
  add(plan, 4, 0, counted(1, 4), kFlagSample);
  const auto result = bench.run(std::move(plan));
  CHECK(result->tokens[0] == fakeNext(counted(1, 0)) && result->tokens[1] == fakeNext(counted(1, 4)));
  const std::vector<std::string> expected = {"0,1x1", "3,4x1"};
  CHECK(takeFakeCalls() == expected);
  // The companions left nothing behind.
  bench.engine->openSequence(1, {});
  CHECK(bench.run(bench.plan(1, 0, counted(4, 1), kFlagSample))->tokens[0] == fakeNext(counted(4, 1)));
}

TEST(a_copy_moves_rows_and_what_is_removed_is_forgotten) {
  Bench bench(kStreams);
  const auto tokens = counted(20, 2);
  bench.engine->openSequence(0, {});
  CHECK(bench.run(bench.plan(0, 0, tokens, kFlagSample))->tokens[0] == fakeNext(tokens));
  skipOpening();
  auto changed = tokens;
  std::iota(changed.begin() + 16, changed.end(), 40);
  auto plan = bench.plan(3, 16, {changed.begin() + 16, changed.end()}, kFlagSample);
  plan.ops = {kOpCopy, 0, 3, 0, 16, kOpRemove, 0, 8, -1, 0};
  bench.engine->openSequence(3, {});
  CHECK(bench.run(std::move(plan))->tokens[0] == fakeNext(changed));
  const std::vector<std::string> expected = {"forget 0:8+12", "3x4"};
  CHECK(takeFakeCalls() == expected);

  Bench other(kStreams);
  std::vector<std::vector<uint8_t>> blocks(4, std::vector<uint8_t>(4 * 24));
  bench.engine->exportBlocks(1, 3, 0, {blocks.begin(), blocks.end()});
  const auto reply = bench.ear.reply();
  CHECK(!reply->failure.has_value() && reply->checksums.size() == 4);
  for (size_t i = 0; i < 4; i++) CHECK(reply->checksums[i] == xxh3(blocks[i].data(), blocks[i].size(), kChecksumSeed));
  auto& bytes = blocks[0];
  const auto twice = bytes;
  bench.engine->exportBlocks(1, 3, 4, {bytes});
  CHECK(bench.ear.reply()->checksums[0] == reply->checksums[1] && bytes == blocks[1]);
  bytes = twice;
  blocks[3][5] ^= 1;
  other.engine->importBlocks(2, 1, 0, {blocks.begin(), blocks.end()}, reply->checksums);
  CHECK(other.ear.reply()->taken == 3);
  blocks[3][5] ^= 1;
  other.engine->importBlocks(2, 1, 12, {blocks[3]}, {reply->checksums[3]});
  CHECK(other.ear.reply()->taken == 1);
  other.engine->openSequence(1, {});
  CHECK(other.run(other.plan(1, 16, {40, 41, 42, 43}, kFlagSample))->tokens[0] == fakeNext(changed));
  // Rows that do not follow what is there are not taken.
  other.engine->importBlocks(4, 2, 4, {bytes}, {});
  const auto refused = other.ear.reply();
  CHECK(refused->failure.has_value() && refused->failure->code == Code::noSpace);
}
