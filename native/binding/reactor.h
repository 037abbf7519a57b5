#pragma once
#include <napi.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace stator::binding {

/// Work for the event loop's thread.
using Task = std::function<void(Napi::Env)>;

/// A few threads for blocking work. Threads start with the first work that needs them.
class Workers {
 public:
  explicit Workers(size_t most) : most_(most) {}
  void run(std::function<void()> work);
  /// Forgets waiting work and joins.
  void stop();

 private:
  void loop();

  const size_t most_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  std::vector<std::thread> threads_;
  size_t idle_ = 0;
  bool quit_ = false;
};

/// Something with a thread that must be joined before the environment goes.
class Stoppable {
 public:
  virtual ~Stoppable() = default;
  virtual void stopForExit() = 0;
};

/// One per environment: brings work from other threads to the event loop through a single thread-safe function, and
/// keeps the process alive exactly while something is pending.
class Reactor {
 public:
  explicit Reactor(Napi::Env env);
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  /// From any thread: runs the task on the event loop.
  void deliver(Task task);
  /// On the event loop: something is pending, or no longer. Calls nest.
  void hold();
  void release();

  /// On the event loop: runs `work` on a thread of its own kind; what it returns runs on the event loop. A hold lasts
  /// from the call until then.
  void runShort(std::function<Task()> work) { run(shortWorkers_, std::move(work)); }
  void runLong(std::function<Task()> work) { run(longWorkers_, std::move(work)); }

  void enlist(Stoppable* each) { enlisted_.insert(each); }
  void dismiss(Stoppable* each) { enlisted_.erase(each); }

  /// From any thread: the environment is ending and waits for work that is under way, so what is long should stop.
  bool ending() const { return down_; }

 private:
  static void callJs(Napi::Env env, Napi::Function, Reactor*, Task* task);
  static void cleanUp(void* self);
  void run(Workers& workers, std::function<Task()> work);
  void shutDown();

  using Function = Napi::TypedThreadSafeFunction<Reactor, Task, &Reactor::callJs>;
  const Napi::Env env_;
  Function function_;
  size_t pending_ = 0;
  std::atomic<bool> down_{false};
  Workers shortWorkers_{2};
  Workers longWorkers_{2};
  std::set<Stoppable*> enlisted_;
};

}  // namespace stator::binding
