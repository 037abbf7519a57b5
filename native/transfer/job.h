#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/xxh3.h"
#include "transfer/region.h"

namespace stator::transfer {

using Clock = std::chrono::steady_clock;

/// `CopyResult` of lib/transfer/mover.ts.
enum class CopyStatus { done, corrupt, cancelled, deadline, failed };

const char* statusName(CopyStatus status);

struct CopyResult {
  CopyStatus status = CopyStatus::done;
  size_t copied = 0;
  std::string reason;
  int64_t durationUs = 0;
  int passes = 1;
};

/// Blocks of equal size that are to be read.
struct CopyOrder {
  std::shared_ptr<Region> to;
  std::vector<uint64_t> fromOffsets;
  std::vector<uint64_t> toOffsets;
  size_t blockBytes = 0;
  /// Of each block; empty checks nothing.
  std::vector<uint64_t> checksums;
  Clock::time_point deadline;
};

/// An order on its way. Whoever runs it settles it, once; from then on no byte of `to` changes.
class Job {
 public:
  using Done = std::function<void(CopyResult)>;

  Job(CopyOrder order, Done done);
  ~Job();

  const CopyOrder& order() const { return order_; }
  size_t blocks() const { return order_.fromOffsets.size(); }
  uint8_t* target(size_t block) const { return order_.to->data() + order_.toOffsets[block]; }

  /// A thread has taken it up.
  void start() { started_ = Clock::now(); }
  /// How often this process moves each byte.
  void setPasses(int passes) { passes_ = passes; }
  /// Asks for its end; the thread finds out between two blocks.
  void cancel() { cancelled_ = true; }
  bool isCancelled() const { return cancelled_; }

  /// Settles it when it was cancelled or is late. True when it is over.
  bool isOver(size_t copied);
  void finish(size_t copied) { settle(CopyStatus::done, copied, ""); }
  /// The block behind the copied ones is not what its checksum says.
  void refuse(size_t copied);
  void fail(size_t copied, const std::string& reason) { settle(CopyStatus::failed, copied, reason); }
  bool isSettled() const { return done_ == nullptr; }

 private:
  void settle(CopyStatus status, size_t copied, const std::string& reason);

  const CopyOrder order_;
  Done done_;
  std::atomic<bool> cancelled_{false};
  Clock::time_point started_{};
  int passes_ = 1;
};

/// Memory that can be read, by one way. All calls come from the event loop's thread.
class Source {
 public:
  explicit Source(size_t sizeBytes) : sizeBytes_(sizeBytes) {}
  virtual ~Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  size_t sizeBytes() const { return sizeBytes_; }
  /// Its blocks lie within this memory and within the target's.
  virtual void submit(std::shared_ptr<Job> job) = 0;
  /// The job was cancelled.
  virtual void nudge(const std::shared_ptr<Job>& job) = 0;
  /// Ends what is under way as failed. What is submitted later fails.
  virtual void close() = 0;
  /// Of this process, or nullptr.
  virtual std::shared_ptr<Region> region() const { return nullptr; }

 private:
  const size_t sizeBytes_;
};

/// Neighbours in both memories from block `first` on, of at most `mostBytes` unless one block is larger. Returns how many.
size_t runLength(const CopyOrder& order, size_t first, size_t mostBytes);

}  // namespace stator::transfer
