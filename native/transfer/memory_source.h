#pragma once
#include <atomic>
#include <memory>

#include "transfer/copy_threads.h"
#include "transfer/job.h"
#include "transfer/process.h"

struct iovec;

namespace stator::transfer {

/// Memory that a copy thread can read at once, whoever it belongs to.
class MemorySource : public Source, public std::enable_shared_from_this<MemorySource> {
 public:
  MemorySource(size_t sizeBytes, CopyThreads& threads) : Source(sizeBytes), threads_(threads) {}
  void submit(std::shared_ptr<Job> job) override;
  void nudge(const std::shared_ptr<Job>& job) override { threads_.nudge(job); }
  void close() override { closed_ = true; }

 protected:
  /// On a copy thread: copies all blocks and settles the job.
  virtual void copy(Job& job) = 0;
  /// Settles the job when it or this is over. True when it is.
  bool isOver(Job& job, size_t copied) const;

 private:
  CopyThreads& threads_;
  std::atomic<bool> closed_{false};
};

/// A region of this process.
class OwnSource : public MemorySource {
 public:
  OwnSource(std::shared_ptr<Region> region, CopyThreads& threads);
  std::shared_ptr<Region> region() const override { return region_; }

 protected:
  void copy(Job& job) override;

 private:
  const std::shared_ptr<Region> region_;
};

/// The sealed memory file of another process, mapped to read.
class SharedSource : public MemorySource {
 public:
  /// Throws UNSUPPORTED with the reason.
  SharedSource(const ProcessWatch& process, int memoryFile, size_t sizeBytes, CopyThreads& threads);
  ~SharedSource() override;

 protected:
  void copy(Job& job) override;

 private:
  const uint8_t* data_ = nullptr;
};

/// Memory of another process, read by process_vm_readv.
class ProcessSource : public MemorySource {
 public:
  /// Reads a byte at either end. Throws UNSUPPORTED with the reason.
  ProcessSource(ProcessWatch process, uint64_t address, size_t sizeBytes, CopyThreads& threads);

 protected:
  void copy(Job& job) override;

 private:
  bool readSome(Job& job, size_t first, size_t& blocks);
  size_t runsFrom(const Job& job, size_t first, iovec* from, iovec* to, size_t& count) const;

  const ProcessWatch process_;
  const uint64_t address_;
};

}  // namespace stator::transfer
