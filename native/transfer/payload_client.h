#pragma once
#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/failure.h"
#include "transfer/borrowing.h"
#include "transfer/job.h"
#include "transfer/socket.h"

namespace stator::transfer {

/// Connections to sockets of others, and the thread that reads by them. It starts with the first one.
class PayloadClient {
 public:
  /// Hears what became of a connection, on the thread: a source, or why there is none.
  using Connected = std::function<void(std::shared_ptr<Source>, const std::string& reason)>;

  PayloadClient() = default;
  ~PayloadClient() { stop(); }
  PayloadClient(const PayloadClient&) = delete;
  PayloadClient& operator=(const PayloadClient&) = delete;

  void connect(const SocketAddress& address, const Hello& hello, Clock::time_point deadline, Connected connected);
  /// Fails everything and joins.
  void stop();

 private:
  struct Connection;
  class SocketSource;

  void post(std::function<void()> order);
  void loop();
  void runOrders();
  int timeoutMs() const;
  void serve(Connection& connection, short events);
  bool receive(Connection& connection);
  bool send(Connection& connection);
  void end(Connection& connection, const std::string& reason);
  void settleLate();

  std::mutex mutex_;
  std::vector<std::function<void()>> orders_;
  std::thread thread_;
  bool stopped_ = false;
  std::unique_ptr<Wake> wake_;
  std::atomic<bool> quit_{false};
  /// The thread's own.
  std::list<std::shared_ptr<Connection>> connections_;
};

}  // namespace stator::transfer
