#pragma once
#include <napi.h>

#include <map>
#include <memory>
#include <vector>

#include "binding/reactor.h"
#include "transfer/copy_threads.h"
#include "transfer/payload_client.h"
#include "transfer/nixl_agent.h"
#include "transfer/payload_server.h"

namespace stator::binding {

/// What a mover has open, used on the event loop's thread alone. Threads reach it by what they deliver.
class MoverState : public Stoppable, public std::enable_shared_from_this<MoverState> {
 public:
  MoverState(Napi::Env env, size_t copyThreads, const transfer::ServerLimits& limits);
  ~MoverState() override;

  std::shared_ptr<transfer::Region> openRegion(size_t sizeBytes);
  void closeRegion(uint32_t id);
  uint32_t addSource(std::shared_ptr<transfer::Source> source);
  void closeSource(uint32_t id);
  /// Settles a promise with the number of a source.
  Napi::Value connect(const transfer::SocketAddress& address, const transfer::Hello& hello,
                      transfer::Clock::time_point deadline);
  uint32_t listen(const std::string& host, uint16_t port);
  const transfer::PayloadServer& socket(uint32_t id) const { return *sockets_.at(id); }
  void closeSocket(uint32_t id) { sockets_.erase(id); }

  std::shared_ptr<transfer::Region> region(uint32_t id) const;
  /// A source, or a region that is read as one.
  std::shared_ptr<transfer::Source> source(uint32_t id, bool isRegion);
  uint32_t copy(std::shared_ptr<transfer::Source> source, transfer::CopyOrder order, const Napi::Function& done);
  void cancel(uint32_t job);

  /// Closes an agent with itself.
  void keepNixl(std::shared_ptr<nixl::Agent> agent);

  transfer::CopyThreads& threads() { return threads_; }
  bool isClosed() const { return closed_; }
  void close();
  void stopForExit() override;

 private:
  struct Pending {
    std::shared_ptr<transfer::Job> job;
    std::shared_ptr<transfer::Source> source;
    Napi::FunctionReference done;
  };
  void settle(uint32_t id, const transfer::CopyResult& result);
  void connected(uint32_t id, const std::shared_ptr<transfer::Source>& source, const std::string& reason);
  void begin();
  void finish();

  const Napi::Env env_;
  Reactor& reactor_;
  const transfer::ServerLimits limits_;
  transfer::CopyThreads threads_;
  transfer::PayloadClient client_;
  transfer::RegionTable regions_;
  std::map<uint32_t, std::unique_ptr<transfer::PayloadServer>> sockets_;
  std::map<uint32_t, std::shared_ptr<transfer::Source>> sources_;
  std::vector<std::shared_ptr<nixl::Agent>> agents_;
  std::map<uint32_t, Pending> pending_;
  std::map<uint32_t, Napi::Promise::Deferred> connecting_;
  uint32_t nextId_ = 1;
  bool closed_ = false;
  /// This very object, while something is under way and nobody else may hold it.
  std::shared_ptr<MoverState> self_;
};

/// `NativeMover` of lib/native/transfer.ts.
class MoverWrap : public Napi::ObjectWrap<MoverWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit MoverWrap(const Napi::CallbackInfo& info);

 private:
  Napi::Value identity(const Napi::CallbackInfo& info);
  Napi::Value openRegion(const Napi::CallbackInfo& info);
  void closeRegion(const Napi::CallbackInfo& info);
  Napi::Value pinRegion(const Napi::CallbackInfo& info);
  Napi::Value openShared(const Napi::CallbackInfo& info);
  Napi::Value openProcess(const Napi::CallbackInfo& info);
  Napi::Value connect(const Napi::CallbackInfo& info);
  void closeSource(const Napi::CallbackInfo& info);
  Napi::Value listen(const Napi::CallbackInfo& info);
  void closeSocket(const Napi::CallbackInfo& info);
  Napi::Value copy(const Napi::CallbackInfo& info);
  void cancel(const Napi::CallbackInfo& info);
  Napi::Value openNixl(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  MoverState& open() const;

  std::shared_ptr<MoverState> state_;
};

/// `openMover` of lib/native/addon.ts.
Napi::Value openMover(const Napi::CallbackInfo& info);

}  // namespace stator::binding
