#include "transfer/nixl_reader.h"

#include <algorithm>
#include <cstring>

#include "engine/failure.h"

namespace stator::nixl {
namespace {

/// What is copied before it is hashed: it stays in the nearest cache.
constexpr size_t kTileBytes = size_t{16} << 10;
/// Between two looks while bytes are on their way.
constexpr std::chrono::microseconds kShortPause{20};
constexpr std::chrono::microseconds kLongPause{200};
/// While only what was given up is on its way, or a job waits for memory.
constexpr std::chrono::microseconds kSlowPause{5'000};
/// So long a job waits for memory that only reads without a job hold.
constexpr std::chrono::milliseconds kPatience{500};
/// So many short pauses come before long ones.
constexpr int kShortPauses = 100;

}  // namespace

void Reader::add(std::shared_ptr<transfer::Job> job, std::shared_ptr<Remote> remote, uint64_t address) {
  if (job->isOver(0)) return;
  if (remote->isLost || remote->late > 0) {
    job->fail(0, remote->isLost ? "A read from " + remote->name + " has failed."
                                : "What was asked of " + remote->name + " before has neither come nor failed.");
    return;
  }
  if (job->blocks() == 0) {
    job->finish(0);
    return;
  }
  // To the piece, and from there.
  job->setPasses(2);
  runs_.push_back({.job = std::move(job), .remote = std::move(remote), .address = address, .flights = {}});
}

bool Reader::advance() {
  bool moved = sweep();
  for (auto run = runs_.begin(); run != runs_.end();) {
    moved = step(*run) || moved;
    if (!run->job->isSettled()) {
      ++run;
      continue;
    }
    leave(*run);
    run = runs_.erase(run);
    moved = true;
  }
  quiet_ = moved ? 0 : quiet_ + 1;
  return moved;
}

std::optional<std::chrono::microseconds> Reader::pause() {
  if (isFlying()) return quiet_ <= kShortPauses ? kShortPause : kLongPause;
  if (!runs_.empty() || !orphans_.empty()) return kSlowPause;
  return std::nullopt;
}

/// Looks after one job: puts what has arrived in place, and asks for more.
bool Reader::step(Run& run) {
  bool moved = false;
  while (!run.job->isOver(run.copied) && !run.flights.empty() && run.flights.front().request->poll() != kUnderWay) {
    moved = land(run) || moved;
  }
  while (!run.job->isSettled() && ask(run)) moved = true;
  if (!run.job->isSettled()) notePatience(run);
  return moved;
}

/// What was given up keeps memory until it ends, which is soon or never.
void Reader::notePatience(Run& run) {
  const auto now = transfer::Clock::now();
  if (!run.flights.empty() || isFlying()) {
    run.waitsSince = {};
  } else if (run.waitsSince == transfer::Clock::time_point{}) {
    run.waitsSince = now;
  } else if (now - run.waitsSince >= kPatience) {
    run.job->fail(run.copied, "The memory for what NIXL reads is held by reads that do not end.");
  }
}

bool Reader::isFlying() const {
  return std::ranges::any_of(runs_, [](const Run& run) { return !run.flights.empty(); });
}

bool Reader::ask(Run& run) {
  if (run.block == run.job->blocks() || run.remote->requests >= peerPieces_) return false;
  try {
    Piece* piece = staging_.take();
    if (piece == nullptr) return false;
    if (run.block == 0 && run.skip == 0) run.job->start();
    const auto part = nextPart(run);
    auto request = std::make_unique<Request>(core_, run.remote->name, spansOf(run, part), piece->data);
    run.remote->requests++;
    run.flights.push_back({std::move(request), piece, part, run.remote});
    const bool isWhole = part.skip + part.bytes >= run.job->order().blockBytes;
    run.block += isWhole ? part.blocks : 0;
    run.skip = isWhole ? 0 : part.skip + part.bytes;
    return true;
  } catch (const Failure& failure) {
    run.job->fail(run.copied, failure.what());
    return false;
  }
}

Reader::Part Reader::nextPart(const Run& run) const {
  const size_t each = run.job->order().blockBytes;
  const size_t room = staging_.pieceBytes();
  if (each > room) return {run.block, 1, run.skip, std::min(room, each - run.skip)};
  const size_t blocks = std::min(room / each, run.job->blocks() - run.block);
  return {run.block, blocks, 0, blocks * each};
}

/// Where a part lies at the peer, neighbours as one.
std::vector<Span> Reader::spansOf(const Run& run, const Part& part) const {
  const auto& order = run.job->order();
  std::vector<Span> spans;
  const size_t each = part.bytes / part.blocks;
  for (size_t i = 0; i < part.blocks; i++) {
    const uint64_t address = run.address + order.fromOffsets[part.block + i] + part.skip;
    if (!spans.empty() && spans.back().address + spans.back().bytes == address) {
      spans.back().bytes += each;
    } else {
      spans.push_back({address, each});
    }
  }
  return spans;
}

/// Takes the first piece that has arrived, or failed to.
bool Reader::land(Run& run) {
  Flight flight = std::move(run.flights.front());
  run.flights.pop_front();
  const int status = flight.request->status();
  const auto part = flight.part;
  if (status == kOk) {
    const size_t each = part.bytes / part.blocks;
    for (size_t i = 0; i < part.blocks && !run.job->isOver(run.copied); i++) {
      if (!put(run, flight.piece->data + i * each, part.block + i, part.skip, each)) break;
    }
  } else {
    run.job->fail(run.copied, "NIXL could not read from " + run.remote->name + ": " + sayStatus(status) + ".");
  }
  end(flight);
  if (!run.job->isSettled() && run.copied == run.job->blocks()) run.job->finish(run.copied);
  return true;
}

/// Copies a block or a stretch of one to its place. False when it is not what its checksum says.
bool Reader::put(Run& run, const uint8_t* from, size_t block, size_t skip, size_t bytes) {
  const auto& order = run.job->order();
  uint8_t* const target = run.job->target(block);
  const bool isChecked = !order.checksums.empty();
  if (isChecked && skip == 0) run.hash.begin(target, order.blockBytes, kChecksumSeed);
  for (size_t at = 0; at < bytes; at += kTileBytes) {
    const size_t tile = std::min(kTileBytes, bytes - at);
    std::memcpy(target + skip + at, from + at, tile);
    if (isChecked) run.hash.advance(skip + at + tile);
  }
  if (skip + bytes < order.blockBytes) return true;
  if (isChecked && run.hash.finish() != order.checksums[block]) {
    run.job->refuse(run.copied);
    return false;
  }
  run.copied++;
  return true;
}

/// Lets a job go that is over. What is still coming for it is waited for, by nobody.
void Reader::leave(Run& run) {
  const bool isLate = run.job->order().deadline <= transfer::Clock::now();
  for (auto& flight : run.flights) {
    flight.isLate = isLate;
    if (isLate) run.remote->late++;
    orphans_.push_back(std::move(flight));
  }
  run.flights.clear();
}

void Reader::end(Flight& flight) {
  const bool badly = flight.request->status() != kOk;
  const bool hasBegun = flight.request->hasBegun();
  if (badly && hasBegun) flight.remote->isLost = true;
  flight.request.reset();
  flight.remote->requests--;
  if (flight.isLate) flight.remote->late--;
  staging_.giveBack(flight.piece, badly && hasBegun);
}

bool Reader::sweep() {
  return std::erase_if(orphans_, [this](Flight& flight) {
           if (flight.request->poll() == kUnderWay) return false;
           end(flight);
           return true;
         }) > 0;
}

void Reader::fail(const std::string& reason, const Remote* remote, uint64_t address) {
  for (auto& run : runs_) {
    const bool isMeant = remote == nullptr || (run.remote.get() == remote && run.address == address);
    if (isMeant && !run.job->isOver(run.copied)) run.job->fail(run.copied, reason);
  }
}

void Reader::close() {
  for (auto& run : runs_) leave(run);
  runs_.clear();
  orphans_.clear();
  staging_.unregister();
}

}  // namespace stator::nixl
