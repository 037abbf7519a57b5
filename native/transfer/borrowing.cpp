#include "transfer/borrowing.h"

#include <algorithm>
#include <utility>

namespace stator::transfer {
namespace {

static_assert(kWelcomeBytes == kAnswerHeadBytes, "both are read into one place");

/// So much is taken at once, to be hashed while the cache has it.
constexpr size_t kTakeBytes = size_t{256} << 10;
/// What nobody wants any more is read into so much memory.
constexpr size_t kDropBytes = size_t{64} << 10;

}  // namespace

void Borrowing::add(std::shared_ptr<Job> job) {
  job->start();
  readings_.push_back(std::make_shared<Reading>(std::move(job)));
  askMore();
}

void Borrowing::settleOver() {
  for (const auto& each : readings_) each->job->isOver(each->copied);
  forgetSettled();
  askMore();
}

void Borrowing::forgetSettled() {
  std::erase_if(readings_, [](const auto& each) { return each->job->isSettled(); });
}

void Borrowing::fail(const std::string& reason) {
  for (const auto& each : readings_) each->job->fail(each->copied, reason);
  readings_.clear();
}

std::optional<Clock::time_point> Borrowing::deadline() const {
  std::optional<Clock::time_point> first;
  for (const auto& each : readings_) {
    const auto at = each->job->order().deadline;
    if (!first.has_value() || at < *first) first = at;
  }
  return first;
}

void Borrowing::sent(size_t bytes) {
  outAt_ += bytes;
  if (outAt_ < out_.size()) return;
  out_.clear();
  outAt_ = 0;
}

std::shared_ptr<Borrowing::Reading> Borrowing::nextToAsk() {
  for (const auto& each : readings_) {
    if (each->askedBlocks < each->job->blocks()) return each;
  }
  return nullptr;
}

void Borrowing::askMore() {
  while (welcome_ && asks_.size() < kAsksAhead) {
    const auto reading = nextToAsk();
    if (reading == nullptr) return;
    askFor(reading);
  }
}

void Borrowing::askFor(const std::shared_ptr<Reading>& reading) {
  const auto& order = reading->job->order();
  Ask ask{reading, {}, 0};
  std::vector<Range> ranges;
  while (ranges.size() < kAskRanges && ask.bytes < kAskBytes && reading->askedBlocks < order.fromOffsets.size()) {
    const size_t block = reading->askedBlocks;
    const size_t run = runLength(order, block, kAskBytes);
    // A block that is longer than an ask goes on in the next one.
    const uint64_t bytes = std::min(run * order.blockBytes - reading->askedBytes, kAskBytes - ask.bytes);
    ranges.push_back({order.fromOffsets[block] + reading->askedBytes, bytes});
    ask.pieces.push_back({reading->job->target(block) + reading->askedBytes, bytes});
    ask.bytes += bytes;
    const uint64_t end = reading->askedBytes + bytes;
    reading->askedBlocks += end / order.blockBytes;
    reading->askedBytes = end % order.blockBytes;
  }
  appendAsk(out_, ranges);
  asks_.push_back(std::move(ask));
}

size_t Borrowing::room(iovec* into, size_t most) {
  const bool isHead = !welcome_ || asks_.empty() || headBytes_ < kAnswerHeadBytes;
  if (isHead) {
    into[0] = {head_.data() + headBytes_, kAnswerHeadBytes - headBytes_};
    return 1;
  }
  const auto& ask = asks_.front();
  if (ask.reading->job->isSettled()) {
    dropped_.resize(kDropBytes);
    into[0] = {dropped_.data(), static_cast<size_t>(std::min<uint64_t>(kDropBytes, ask.bytes))};
    return 1;
  }
  size_t count = 0;
  uint64_t left = kTakeBytes;
  for (const auto& piece : ask.pieces) {
    if (count == most || left == 0) break;
    into[count++] = {piece.to, static_cast<size_t>(std::min(piece.bytes, left))};
    left -= std::min(piece.bytes, left);
  }
  return count;
}

bool Borrowing::received(size_t bytes) {
  if (headBytes_ < kAnswerHeadBytes) {
    headBytes_ += bytes;
    return headBytes_ < kAnswerHeadBytes || takeHead();
  }
  takeData(bytes);
  return true;
}

bool Borrowing::takeHead() {
  if (!welcome_) {
    headBytes_ = 0;
    const auto status = readWelcome(head_);
    welcome_ = status == Welcome::ok;
    if (!welcome_) reason_ = status.has_value() ? welcomeReason(*status) : "The other side speaks otherwise.";
    askMore();
    return welcome_;
  }
  if (!asks_.empty() && readAnswerHead(head_)) return true;
  reason_ = "The other side answers what was not asked.";
  return false;
}

void Borrowing::takeData(size_t bytes) {
  auto& ask = asks_.front();
  ask.bytes -= bytes;
  const auto reading = ask.reading;
  for (size_t left = bytes; left > 0;) {
    auto& piece = ask.pieces.front();
    const auto taken = std::min<uint64_t>(left, piece.bytes);
    piece.to += taken;
    piece.bytes -= taken;
    left -= taken;
    if (piece.bytes == 0) ask.pieces.pop_front();
  }
  if (!reading->job->isSettled()) arrived(*reading, bytes);
  if (ask.bytes == 0) {
    asks_.pop_front();
    headBytes_ = 0;
  }
  forgetSettled();
  askMore();
}

void Borrowing::arrived(Reading& reading, uint64_t bytes) {
  auto& job = *reading.job;
  const auto& order = job.order();
  const bool checks = !order.checksums.empty();
  while (bytes > 0) {
    if (checks && reading.blockBytes == 0) {
      reading.progress.begin(job.target(reading.copied), order.blockBytes, kChecksumSeed);
    }
    const auto taken = std::min<uint64_t>(bytes, order.blockBytes - reading.blockBytes);
    reading.blockBytes += taken;
    bytes -= taken;
    if (checks) reading.progress.advance(reading.blockBytes);
    if (reading.blockBytes < order.blockBytes) break;
    if (checks && reading.progress.finish() != order.checksums[reading.copied]) return job.refuse(reading.copied);
    reading.blockBytes = 0;
    reading.copied++;
    if (reading.copied == job.blocks()) return job.finish(reading.copied);
    if (job.isOver(reading.copied)) return;
  }
}

}  // namespace stator::transfer
