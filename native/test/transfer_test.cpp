// Regions and the ways to read them, within one process: it is its own peer.
#include <sys/mman.h>
#include <unistd.h>

#include <condition_variable>
#include <cstring>
#include <mutex>
#include <optional>

#include "check.h"
#include "core/xxh3.h"
#include "engine/failure.h"
#include "transfer/memory_file.h"
#include "transfer/memory_source.h"
#include "transfer_rig.h"

using namespace stator;
using namespace stator::transfer;
using namespace stator::test;

namespace {

ProcessWatch ownProcess() {
  const auto own = ownIdentity();
  return {own.processId, own.processStart};
}

std::shared_ptr<Source> openShared(const Region& region, CopyThreads& threads) {
  return std::make_shared<SharedSource>(ownProcess(), region.memoryFile(), region.sizeBytes(), threads);
}

std::shared_ptr<Source> openProcess(const Region& region, CopyThreads& threads) {
  const auto address = reinterpret_cast<uint64_t>(region.data());
  return std::make_shared<ProcessSource>(ownProcess(), address, region.sizeBytes(), threads);
}

template <typename Call>
std::string reasonOf(Call call) {
  try {
    call();
    return "";
  } catch (const Failure& failure) {
    return failure.what();
  }
}

}  // namespace

TEST(progressive_hashes_equal_whole_ones) {
  Rng rng(1);
  std::vector<uint8_t> data(9000);
  for (auto& byte : data) byte = static_cast<uint8_t>(rng.next());
  for (int round = 0; round < 500; round++) {
    const size_t size = rng.below(data.size());
    Xxh3Progress progress;
    progress.begin(data.data(), size, kChecksumSeed);
    for (size_t ready = 0; ready < size; ready = std::min(size, ready + 1 + rng.below(2000))) progress.advance(ready);
    CHECK(progress.finish() == xxh3(data.data(), size, kChecksumSeed));
  }
}

TEST(a_region_is_zeroed_sealed_and_not_to_be_written_by_others) {
  const auto region = Region::open(1, 1 << 20);
  CHECK(region->memoryFile() >= 0);
  CHECK(region->data()[12345] == 0);
  CHECK(::ftruncate(region->memoryFile(), 4096) != 0);
  void* other = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, region->memoryFile(), 0);
  CHECK(other == MAP_FAILED);
}

TEST(a_region_larger_than_the_machine_is_refused) {
  CHECK(!reasonOf([] { Region::open(1, size_t{1} << 60); }).empty());
}

TEST(a_region_that_was_given_back_may_still_be_touched) {
  const auto region = Region::open(1, 1 << 20);
  CopyThreads threads(1);
  std::memset(region->data(), 7, 1 << 20);
  const auto shared = openShared(*region, threads);
  region->giveBack();
  CHECK(region->isGone() && region->memoryFile() < 0);
  region->data()[5] = 9;
  // Who had it mapped still sees what was there.
  const auto to = Region::open(2, 1 << 20);
  const auto result = copyAll(*shared, to, {0}, {0}, 4096);
  CHECK(result.status == CopyStatus::done);
  CHECK(to->data()[5] == 7);
}

TEST(blocks_arrive_by_every_way_that_reads_memory) {
  Rng rng(2);
  for (int round = 0; round < 60; round++) {
    CopyThreads threads(1 + rng.below(2));
    const auto from = filledRegion(rng, 1, 3 << 20);
    const auto to = Region::open(2, 3 << 20);
    const auto ways = {std::shared_ptr<Source>(std::make_shared<OwnSource>(from, threads)), openShared(*from, threads),
                       openProcess(*from, threads)};
    for (const auto& source : ways) {
      const auto plan = randomPlan(rng, from->sizeBytes());
      const bool checks = rng.below(2) == 0;
      std::memset(to->data(), 0, to->sizeBytes());
      const auto result = copyPlan(*source, from, to, plan, checks);
      CHECK(result.status == CopyStatus::done);
      CHECK(result.copied == plan.from.size());
      CHECK(arrived(*from, *to, plan, plan.from.size()));
    }
  }
}

TEST(a_wrong_checksum_ends_a_copy_at_its_block) {
  Rng rng(3);
  CopyThreads threads(1);
  const auto from = filledRegion(rng, 1, 1 << 20);
  const auto to = Region::open(2, 1 << 20);
  const auto ways = {std::shared_ptr<Source>(std::make_shared<OwnSource>(from, threads)), openShared(*from, threads),
                     openProcess(*from, threads)};
  for (const auto& source : ways) {
    const auto plan = evenPlan(20, 10'000);
    auto order = orderOf(from, to, plan, true);
    from->data()[13 * 10'000 + 9'999] ^= 1;
    const auto result = copyOrder(*source, std::move(order));
    CHECK(result.status == CopyStatus::corrupt);
    CHECK(result.copied == 13);
  }
}

TEST(a_closed_source_a_late_job_and_a_cancelled_one_end_early) {
  Rng rng(4);
  CopyThreads threads(1);
  const auto from = filledRegion(rng, 1, 1 << 20);
  const auto to = Region::open(2, 1 << 20);
  const auto source = openShared(*from, threads);
  auto late = orderOf(from, to, evenPlan(4, 100), false);
  late.deadline = Clock::now();
  CHECK(copyOrder(*source, std::move(late)).status == CopyStatus::deadline);
  // The thread is held up by a job of ours, so that the next one waits.
  Gate gate;
  const auto first = jobOf(orderOf(from, to, evenPlan(4, 100), false));
  threads.run(first.job, [&](Job& job) {
    gate.wait();
    job.finish(4);
  });
  const auto second = submit(*source, orderOf(from, to, evenPlan(4, 100), false));
  second.job->cancel();
  source->nudge(second.job);
  CHECK(second.outcome->wait().status == CopyStatus::cancelled);
  gate.open();
  CHECK(first.outcome->wait().status == CopyStatus::done);
  source->close();
  CHECK(copyOrder(*source, orderOf(from, to, evenPlan(4, 100), false)).status == CopyStatus::failed);
}

TEST(threads_that_stop_settle_everything) {
  Rng rng(5);
  const auto from = filledRegion(rng, 1, 4 << 20);
  const auto to = Region::open(2, 4 << 20);
  CopyThreads threads(2);
  const auto source = std::make_shared<OwnSource>(from, threads);
  std::vector<Submitted> all;
  for (uint32_t i = 0; i < 50; i++) {
    // Each into a region of its own: two threads copy.
    const auto own = Region::open(3 + i, 1 << 20);
    all.push_back(submit(*source, orderOf(from, own, evenPlan(40, 25'000), false)));
  }
  threads.stop();
  for (const auto& each : all) {
    const auto status = each.outcome->wait().status;
    CHECK(status == CopyStatus::done || status == CopyStatus::cancelled || status == CopyStatus::failed);
  }
  CHECK(copyOrder(*source, orderOf(from, to, evenPlan(1, 100), false)).status == CopyStatus::failed);
}

TEST(a_memory_file_of_a_peer_that_lies_is_refused) {
  CopyThreads threads(1);
  const auto open = [&](int file, size_t bytes) {
    return reasonOf([&] { SharedSource(ownProcess(), file, bytes, threads); });
  };
  const auto has = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  const auto region = Region::open(1, 1 << 20);
  CHECK(open(region->memoryFile(), 1 << 20).empty());
  CHECK(has(open(region->memoryFile(), 2 << 20), "bytes, not 2097152"));
  const Descriptor unsealed = openMemoryFile(1 << 20);
  CHECK(has(open(unsealed.number(), 1 << 20), "not sealed"));
  char path[] = "/tmp/stator-file-XXXXXX";
  const Descriptor file(::mkstemp(path));
  ::unlink(path);
  CHECK(::ftruncate(file.number(), 4096) == 0);
  CHECK(!open(file.number(), 4096).empty());
  int pipe[2];
  CHECK(::pipe(pipe) == 0);
  const Descriptor reads(pipe[0]);
  const Descriptor writes(pipe[1]);
  CHECK(has(open(reads.number(), 4096), "no file open"));
  CHECK(has(open(9999, 4096), "no file open"));
  CHECK(has(open(-1, 4096), "no file open"));
}

TEST(another_process_with_the_number_is_not_taken_for_the_one) {
  const auto own = ownIdentity();
  CHECK(own.host != 0 && own.processStart != 0);
  CHECK(!reasonOf([&] { ProcessWatch(own.processId, own.processStart + 1); }).empty());
  CHECK(!reasonOf([&] { ProcessWatch(0x3fffffff, own.processStart); }).empty());
  CHECK(!reasonOf([&] { ProcessWatch(-1, 0); }).empty());
}

TEST(memory_that_is_not_there_is_refused_when_it_is_opened) {
  CopyThreads threads(1);
  CHECK(!reasonOf([&] { ProcessSource(ownProcess(), 4096, 1 << 20, threads); }).empty());
  const auto region = Region::open(1, 1 << 20);
  const auto address = reinterpret_cast<uint64_t>(region->data());
  CHECK(!reasonOf([&] { ProcessSource(ownProcess(), address, size_t{1} << 46, threads); }).empty());
}

TEST(memory_that_goes_away_fails_a_copy) {
  CopyThreads threads(1);
  const size_t size = 1 << 20;
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const auto source = std::make_shared<ProcessSource>(ownProcess(), reinterpret_cast<uint64_t>(memory), size, threads);
  ::munmap(static_cast<uint8_t*>(memory) + size / 2, size / 2);
  const auto to = Region::open(2, size);
  const auto plan = evenPlan(16, size / 16);
  const auto result = copyAll(*source, to, plan.from, plan.to, plan.blockBytes);
  CHECK(result.status == CopyStatus::failed);
  CHECK(result.copied <= 8);
  ::munmap(memory, size / 2);
}

TEST(neighbours_are_one_run_up_to_its_most) {
  const auto to = Region::open(1, 4096);
  CopyOrder order{to, {0, 10, 20, 40, 50}, {5, 15, 25, 35, 60}, 10, {}, {}};
  CHECK(runLength(order, 0, 1000) == 3);
  CHECK(runLength(order, 0, 29) == 2);
  CHECK(runLength(order, 0, 1) == 1);
  CHECK(runLength(order, 3, 1000) == 1);
  CHECK(runLength(order, 4, 1000) == 1);
}

TEST(when_a_process_began_is_read_behind_its_name) {
  const auto start = [](const std::string& text) { return startOf(text.data(), text.size()); };
  std::string fields;
  for (int i = 3; i <= 25; i++) fields += " " + std::to_string(i * 100);
  CHECK(start("1 (node)" + fields) == 2200);
  CHECK(start("1 (a) b) 9)" + fields) == 2200);
  CHECK(start("1 (node) S 1 2") == 0);
  CHECK(start("") == 0);
}
