#include "transfer/job.h"

#include <utility>

namespace stator::transfer {

const char* statusName(CopyStatus status) {
  constexpr const char* names[] = {"done", "corrupt", "cancelled", "deadline", "failed"};
  return names[static_cast<int>(status)];
}

Job::Job(CopyOrder order, Done done) : order_(std::move(order)), done_(std::move(done)) {}

Job::~Job() {
  // Whoever dropped it did not run it.
  if (!isSettled()) fail(0, "It was given up before it began.");
}

bool Job::isOver(size_t copied) {
  if (isSettled()) return true;
  if (cancelled_) {
    settle(CopyStatus::cancelled, copied, "It was cancelled.");
  } else if (Clock::now() >= order_.deadline) {
    settle(CopyStatus::deadline, copied, "Its deadline has passed.");
  }
  return isSettled();
}

void Job::refuse(size_t copied) {
  settle(CopyStatus::corrupt, copied, "Block " + std::to_string(copied) + " is not what its checksum says.");
}

void Job::settle(CopyStatus status, size_t copied, const std::string& reason) {
  const auto done = std::exchange(done_, nullptr);
  if (done == nullptr) return;
  const auto now = Clock::now();
  const auto took = started_ == Clock::time_point{} ? Clock::duration{} : now - started_;
  done({status, copied, reason, std::chrono::duration_cast<std::chrono::microseconds>(took).count(), passes_});
}

size_t runLength(const CopyOrder& order, size_t first, size_t mostBytes) {
  const uint64_t each = order.blockBytes;
  size_t count = 1;
  while (first + count < order.fromOffsets.size() && (count + 1) * each <= mostBytes &&
         order.fromOffsets[first + count] == order.fromOffsets[first] + count * each &&
         order.toOffsets[first + count] == order.toOffsets[first] + count * each) {
    count++;
  }
  return count;
}

}  // namespace stator::transfer
