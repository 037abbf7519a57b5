#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "transfer/job.h"

namespace stator::transfer {

/// Threads that copy what lies in memory, in the order in which it was asked for. They start with the first work.
class CopyThreads {
 public:
  /// Copies the blocks of a job and settles it.
  using Copy = std::function<void(Job&)>;

  explicit CopyThreads(size_t most) : most_(most) {}
  ~CopyThreads() { stop(); }
  CopyThreads(const CopyThreads&) = delete;
  CopyThreads& operator=(const CopyThreads&) = delete;

  void run(std::shared_ptr<Job> job, Copy copy);
  /// Settles a job that still waits and was cancelled.
  void nudge(const std::shared_ptr<Job>& job);
  /// Fails what waits, cancels what runs, and joins.
  void stop();

 private:
  struct Work {
    std::shared_ptr<Job> job;
    Copy copy;
  };
  void loop();

  const size_t most_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Work> queue_;
  std::vector<std::shared_ptr<Job>> running_;
  std::vector<std::thread> threads_;
  size_t idle_ = 0;
  bool quit_ = false;
};

}  // namespace stator::transfer
