#include <chrono>
#include <cstdlib>
#include <cstring>
#include <future>
#include <sstream>
#include <thread>

#include "core/xxh3.h"
#include "engine/failure.h"
#include "test/check.h"
#include "transfer/nixl_source.h"

namespace {

using namespace std::chrono_literals;
using stator::Code;
using stator::Failure;
using stator::nixl::Agent;
using stator::nixl::AgentOptions;
using stator::nixl::openLibrary;
using stator::nixl::PeerSource;
using stator::transfer::Clock;
using stator::transfer::CopyOrder;
using stator::transfer::CopyResult;
using stator::transfer::CopyStatus;
using stator::transfer::Job;
using stator::kChecksumSeed;
using stator::transfer::Region;

constexpr size_t kBlock = 6'000;
constexpr size_t kBlocks = 40;
constexpr size_t kRegion = kBlock * kBlocks;

std::string simPath() {
  const char* path = std::getenv("STATOR_NIXL_SIM");
  return path == nullptr ? "" : path;
}

using Faults = std::vector<std::pair<std::string, std::string>>;

/// An owner with a filled region, and a reader with an empty one; names are drawn, since tests run side by side.
struct Pair {
  explicit Pair(Faults faults = {}, AgentOptions options = {}) {
    static int count = 0;
    const auto name = std::to_string(getpid()) + "-" + std::to_string(++count);
    stator::test::Rng rng(static_cast<uint64_t>(count));
    for (size_t i = 0; i < kRegion; i++) source->data()[i] = static_cast<uint8_t>(rng.next());
    const auto library = openLibrary(simPath());
    options.name = "owner-" + name;
    owner = std::make_shared<Agent>(library, options, [this](std::string from, std::vector<uint8_t> content) {
      notices.set_value(from + ": " + std::string(content.begin(), content.end()));
    });
    region = owner->registerRegion(source);
    options.name = "reader-" + name;
    options.parameters = std::move(faults);
    reader = std::make_shared<Agent>(library, options, nullptr);
    memory = open();
  }

  std::shared_ptr<PeerSource> open() {
    const auto address = reinterpret_cast<uintptr_t>(source->data());
    return std::make_shared<PeerSource>(reader, reader->openRemote(owner->metadata()), address, kRegion);
  }

  /// All blocks, in an order that has neighbours and none.
  CopyOrder order(Clock::duration deadline = 60s) const {
    CopyOrder order{.to = target, .blockBytes = kBlock, .deadline = Clock::now() + deadline};
    for (size_t i = 0; i < kBlocks; i++) {
      const size_t from = i < 20 ? i : kBlocks - 1 - (i - 20);
      order.fromOffsets.push_back(from * kBlock);
      order.toOffsets.push_back((kBlocks - 1 - i) * kBlock);
      order.checksums.push_back(stator::xxh3(source->data() + from * kBlock, kBlock, kChecksumSeed));
    }
    return order;
  }

  std::pair<std::shared_ptr<Job>, std::future<CopyResult>> submit(CopyOrder order) const {
    auto result = std::make_shared<std::promise<CopyResult>>();
    auto known = result->get_future();
    const auto job = std::make_shared<Job>(std::move(order), [result](CopyResult each) {
      result->set_value(std::move(each));
    });
    memory->submit(job);
    return {job, std::move(known)};
  }
  CopyResult read(CopyOrder order) const { return submit(std::move(order)).second.get(); }

  /// Of the reader: the look-alike's metadata tell how many. Each piece is one.
  size_t registrations() const {
    const auto blob = reader->metadata();
    std::istringstream in(std::string(blob.begin(), blob.end()));
    std::string mark, version, name, process;
    size_t count = 0;
    in >> mark >> version >> name >> process >> count;
    return count;
  }

  /// Leading blocks of an order that are in place.
  size_t inPlace(const CopyOrder& order) const {
    size_t count = 0;
    while (count < kBlocks && std::memcmp(target->data() + order.toOffsets[count],
                                          source->data() + order.fromOffsets[count], kBlock) == 0) {
      count++;
    }
    return count;
  }

  std::shared_ptr<Region> source = Region::open(1, kRegion);
  std::shared_ptr<Region> target = Region::open(2, kRegion);
  std::promise<std::string> notices;
  uint64_t region = 0;
  std::shared_ptr<Agent> owner, reader;
  std::shared_ptr<PeerSource> memory;
};

template <typename Work>
std::string failureOf(Work work) {
  try {
    work();
    return "none";
  } catch (const Failure& failure) {
    return std::string(stator::codeName(failure.code)) + " " + failure.what();
  }
}

}  // namespace

TEST(nixl_is_missing_with_a_reason) {
  CHECK(failureOf([] { openLibrary("/nowhere/libnixl_capi.so"); }).starts_with("LIBRARY_MISSING Cannot open /nowhere"));
  // A library that is there and is none of NIXL.
  CHECK(failureOf([] { openLibrary("libm.so.6"); }).find("LIBRARY_MISMATCH libm.so.6 lacks nixl_capi_is_stub") == 0);
  const auto library = openLibrary(simPath());
  CHECK(library == openLibrary(simPath()));
  CHECK(pluginsOf(*library) == (std::vector<std::string>{"POSIX", "UCX"}));
  CHECK(failureOf([&] { Agent(library, {.name = "no-plugin", .backend = "NONE"}, nullptr); })
            .starts_with("UNSUPPORTED NIXL has no back end NONE"));
  CHECK(failureOf([&] { Agent(library, {.name = "refused", .parameters = {{"sim_refuse", "1"}}}, nullptr); })
            .starts_with("UNSUPPORTED NIXL cannot use UCX"));
}

TEST(nixl_reads_blocks_in_pieces_of_every_size) {
  // Less than a block, one block, some, all of them.
  for (const size_t pieceBytes : {size_t{1'000}, size_t{4'096}, kBlock, 3 * kBlock + 5, kRegion}) {
    const Pair pair({}, {.pieceBytes = pieceBytes});
    const auto order = pair.order();
    const auto result = pair.read(order);
    CHECK(result.status == CopyStatus::done && result.reason.empty());
    CHECK(result.copied == kBlocks && pair.inPlace(order) == kBlocks && result.passes == 2);
  }
}

TEST(nixl_reads_without_checksums_and_nothing) {
  const Pair pair;
  auto order = pair.order();
  order.checksums.clear();
  CHECK(pair.read(order).status == CopyStatus::done && pair.inPlace(order) == kBlocks);
  CHECK(pair.read({.to = pair.target, .blockBytes = kBlock, .deadline = Clock::now() + 1s}).status == CopyStatus::done);
}

TEST(nixl_finds_a_wrong_byte) {
  for (const size_t pieceBytes : {kBlock / 4, 5 * kBlock}) {
    const Pair pair({{"sim_corrupt_at", "3"}}, {.pieceBytes = pieceBytes});
    const auto order = pair.order();
    const auto result = pair.read(order);
    CHECK(result.status == CopyStatus::corrupt);
    CHECK(result.copied < kBlocks && pair.inPlace(order) == result.copied);
    // The next one is whole again.
    CHECK(pair.read(order).status == CopyStatus::done);
  }
}

TEST(nixl_fails_a_read_and_asks_again_only_when_opened_anew) {
  Pair pair({{"sim_fail_at", "2"}}, {.pieceBytes = 5 * kBlock});
  const auto order = pair.order();
  const auto result = pair.read(order);
  CHECK(result.status == CopyStatus::failed && result.copied == 5);
  CHECK(result.reason.find("could not read from owner-") != std::string::npos);
  CHECK(pair.read(order).reason.find("has failed") != std::string::npos);
  pair.memory->close();
  CHECK(pair.read(order).reason == "The peer's memory was closed.");
  pair.memory = pair.open();
  CHECK(pair.read(order).status == CopyStatus::done && pair.inPlace(order) == kBlocks);
}

TEST(nixl_refuses_memory_that_the_peer_did_not_register) {
  Pair pair;
  auto order = pair.order();
  order.fromOffsets[25] = kRegion - kBlock / 2;
  const auto result = pair.read(order);
  CHECK(result.status == CopyStatus::failed && result.copied <= 25);
  // It is the order that was wrong, not the peer.
  CHECK(pair.read(pair.order()).status == CopyStatus::done);
  pair.owner->unregister(pair.region);
  pair.memory->close();
  pair.memory = pair.open();
  CHECK(pair.read(pair.order()).status == CopyStatus::failed);
}

TEST(nixl_takes_no_metadata_that_is_none) {
  const Pair pair;
  CHECK(failureOf([&] { pair.reader->openRemote({}); }).starts_with("INVALID_ARGUMENT"));
  CHECK(failureOf([&] { pair.reader->openRemote({1, 2, 3}); }).starts_with("INVALID_ARGUMENT"));
  CHECK(failureOf([&] { pair.reader->openRemote(std::vector<uint8_t>(size_t{2} << 20)); })
            .starts_with("INVALID_ARGUMENT"));
  CHECK(failureOf([&] { pair.reader->openRemote(pair.reader->metadata()); }).find("this process") != std::string::npos);
}

TEST(nixl_cancels_and_nothing_is_written_afterwards) {
  const Pair pair({{"sim_stall", "1"}}, {.pieceBytes = 5 * kBlock});
  const auto order = pair.order();
  auto [job, result] = pair.submit(order);
  job->cancel();
  pair.memory->nudge(job);
  const auto told = result.get();
  CHECK(told.status == CopyStatus::cancelled && told.copied == 0);
  // At its end the library writes what was asked for, to memory that is nobody's.
  pair.reader->close();
  const std::vector<uint8_t> zeros(kRegion);
  CHECK(std::memcmp(pair.target->data(), zeros.data(), kRegion) == 0);
}

TEST(nixl_gives_up_at_the_deadline_and_asks_a_silent_peer_no_more) {
  const Pair pair({{"sim_stall", "1"}}, {.pieceBytes = 5 * kBlock});
  // A job that nobody has taken up by its deadline tells nothing of the peer.
  auto next = pair.read(pair.order(50ms));
  CHECK(next.status == CopyStatus::deadline);
  for (int i = 0; i < 200 && next.status == CopyStatus::deadline; i++) next = pair.read(pair.order(50ms));
  CHECK(next.status == CopyStatus::failed && next.reason.find("neither come nor failed") != std::string::npos);
}

TEST(nixl_memory_for_arrivals_is_bounded) {
  const Pair pair({{"sim_stall", "1"}}, {.pieceBytes = kBlock, .peerPieces = 8, .mostPieces = 3});
  auto [job, result] = pair.submit(pair.order());
  // When it holds all there is, for ever, it is cancelled, so that the peer is not known as silent.
  while (pair.registrations() < 3) std::this_thread::yield();
  job->cancel();
  pair.memory->nudge(job);
  CHECK(result.get().status == CopyStatus::cancelled);
  const auto next = pair.read(pair.order());
  CHECK(next.status == CopyStatus::failed && next.reason.find("held by reads that do not end") != std::string::npos);
}

TEST(nixl_runs_many_jobs_at_once) {
  const Pair pair({{"sim_delay_us", "200"}}, {.pieceBytes = 7 * kBlock, .mostPieces = 5});
  std::vector<std::pair<std::shared_ptr<Job>, std::future<CopyResult>>> jobs;
  for (int i = 0; i < 30; i++) {
    jobs.push_back(pair.submit(pair.order()));
    if (i % 3 == 0) jobs.back().first->cancel();
  }
  for (size_t i = 0; i < jobs.size(); i++) {
    const auto status = jobs[i].second.get().status;
    CHECK(status == CopyStatus::done || (i % 3 == 0 && status == CopyStatus::cancelled));
  }
}

TEST(nixl_tells_notices_and_the_loss_of_a_peer) {
  Pair pair;
  pair.reader->notify(pair.memory->remote(), {'t', 'a', 'k', 'e', 'n'});
  CHECK(pair.notices.get_future().get() == pair.reader->name() + ": taken");
  pair.owner->close();
  CHECK(failureOf([&] { pair.reader->notify(pair.memory->remote(), {'x'}); }).starts_with("UNSUPPORTED"));
  CHECK(failureOf([&] { pair.owner->metadata(); }).starts_with("CLOSED"));
}

TEST(nixl_closes_with_work_under_way) {
  for (const char* fault : {"sim_stall", "sim_delay_us"}) {
    const Pair pair({{fault, "200000"}}, {.pieceBytes = kBlock});
    auto jobs = std::vector<std::future<CopyResult>>();
    for (int i = 0; i < 8; i++) jobs.push_back(pair.submit(pair.order()).second);
    if (fault[4] == 's') pair.memory->close();
    pair.reader->close();
    for (auto& job : jobs) CHECK(job.get().status == CopyStatus::failed);
    CHECK(pair.read(pair.order()).reason.find("closed") != std::string::npos);
  }
}
