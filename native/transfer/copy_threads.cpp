#include "transfer/copy_threads.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

namespace stator::transfer {

void CopyThreads::run(std::shared_ptr<Job> job, Copy copy) {
  std::unique_lock lock(mutex_);
  if (quit_) {
    lock.unlock();
    return job->fail(0, "The mover was closed.");
  }
  queue_.push_back({std::move(job), std::move(copy)});
  if (idle_ < queue_.size() && threads_.size() < most_) threads_.emplace_back([this] { loop(); });
  wake_.notify_one();
}

void CopyThreads::nudge(const std::shared_ptr<Job>& job) {
  {
    const std::lock_guard lock(mutex_);
    const auto waits = std::find_if(queue_.begin(), queue_.end(), [&](const Work& each) { return each.job == job; });
    if (waits == queue_.end()) return;
    queue_.erase(waits);
  }
  job->isOver(0);
}

void CopyThreads::loop() {
  ::pthread_setname_np(::pthread_self(), "stator-copy");
  std::unique_lock lock(mutex_);
  for (;;) {
    idle_++;
    wake_.wait(lock, [&] { return quit_ || !queue_.empty(); });
    idle_--;
    if (quit_) return;
    Work work = std::move(queue_.front());
    queue_.pop_front();
    running_.push_back(work.job);
    lock.unlock();
    work.job->start();
    if (!work.job->isOver(0)) work.copy(*work.job);
    lock.lock();
    running_.erase(std::find(running_.begin(), running_.end(), work.job));
  }
}

void CopyThreads::stop() {
  std::deque<Work> waiting;
  {
    const std::lock_guard lock(mutex_);
    quit_ = true;
    waiting.swap(queue_);
    for (const auto& job : running_) job->cancel();
  }
  for (const auto& work : waiting) work.job->fail(0, "The mover was closed.");
  wake_.notify_all();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace stator::transfer
