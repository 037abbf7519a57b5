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
  /// Where orders for the thread wait. Sources may live longer than the client, whose thread they must not join.
  struct Orders {
    /// False when it comes too late and is dropped.
    bool post(std::function<void()> order);
    std::vector<std::function<void()>> take();

    std::mutex mutex;
    std::vector<std::function<void()>> waiting;
    bool stopped = false;
    Wake wake;
  };

  void loop();
  void runOrders();
  int timeoutMs() const;
  void serve(Connection& connection, short events);
  bool receive(Connection& connection);
  bool send(Connection& connection);
  void end(Connection& connection, const std::string& reason);
  void settleLate();

  const std::shared_ptr<Orders> orders_ = std::make_shared<Orders>();
  std::thread thread_;
  std::atomic<bool> quit_{false};
  /// The thread's own.
  std::list<std::shared_ptr<Connection>> connections_;
};

}  // namespace stator::transfer
