#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "transfer/job.h"
#include "transfer/nixl_reader.h"

namespace stator::nixl {

/// What a peer has sent beside memory.
using OnNotice = std::function<void(std::string from, std::vector<uint8_t> content)>;

/// This process towards NIXL: what others may read of it, and what is read of others. One thread makes every call of the
/// library; those below that answer wait for it.
class Agent {
 public:
  /// Takes some tenths of a second. `onNotice` runs on the agent's thread; without it notices are not looked for.
  Agent(std::shared_ptr<const Library> library, AgentOptions options, OnNotice onNotice);
  ~Agent() { close(); }
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  const std::string& name() const { return options_.name; }

  /// Lets others read a region, which is kept until `unregister`. Throws UNSUPPORTED.
  uint64_t registerRegion(std::shared_ptr<transfer::Region> region);
  void unregister(uint64_t id);
  /// What others need for that. It changes with what is registered.
  std::vector<uint8_t> metadata();

  /// Gets to know a peer by its metadata, or again. Throws INVALID_ARGUMENT where it is not that of another agent.
  std::shared_ptr<Remote> openRemote(std::vector<uint8_t> metadata);
  /// Fails what is read of this memory. The library forgets the peer with the last of its memories.
  void closeRemote(std::shared_ptr<Remote> remote, uint64_t address);
  /// Sends a few bytes to a peer. Throws UNSUPPORTED when it is gone.
  void notify(const std::shared_ptr<Remote>& remote, std::vector<uint8_t> content);

  /// Reads blocks of a peer's memory that begins at `address`.
  void read(std::shared_ptr<transfer::Job> job, std::shared_ptr<Remote> remote, uint64_t address);
  /// Looks at once who was cancelled.
  void nudge();

  /// Fails what is under way and joins the thread. From any thread, also twice.
  void close();

 private:
  struct Known {
    std::shared_ptr<Remote> remote;
    size_t uses = 0;
  };

  void loop(std::promise<void>& opened);
  bool post(std::function<void()> work);
  template <typename Work>
  auto call(Work work) -> decltype(work());
  void takeNotices();
  void forgetUnused();
  std::optional<std::chrono::microseconds> pause();
  void shutDown();

  const std::shared_ptr<const Library> library_;
  const AgentOptions options_;
  OnNotice onNotice_;
  std::mutex closing_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  bool quit_ = false;

  // The rest is the thread's.
  std::unique_ptr<Core> core_;
  std::unique_ptr<Reader> reader_;
  NotifMap_t notices_ = nullptr;
  std::map<std::string, Known> remotes_;
  std::map<uint64_t, std::pair<std::shared_ptr<transfer::Region>, RegList_t>> regions_;
  uint64_t nextRegion_ = 1;
  std::thread thread_;
};

}  // namespace stator::nixl
