#pragma once
#include <poll.h>

#include <atomic>
#include <chrono>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "transfer/job.h"
#include "transfer/lending.h"
#include "transfer/socket.h"

namespace stator::transfer {

/// What a socket puts up with.
struct ServerLimits {
  /// Readers at one time; a further one is told so and closed.
  size_t readers = 256;
  /// A reader that has not said who it is after so long is closed.
  std::chrono::milliseconds hello{5'000};
  /// A reader that takes nothing of what it asked for during so long is closed.
  std::chrono::milliseconds stall{60'000};
};

/// A listening socket and the thread that gives out regions by it.
class PayloadServer {
 public:
  /// Binds and listens. Throws UNSUPPORTED with the reason. The regions are borrowed.
  PayloadServer(const std::string& host, uint16_t port, const RegionTable& regions, const ServerLimits& limits);
  /// Ends all connections and joins.
  ~PayloadServer();
  PayloadServer(const PayloadServer&) = delete;
  PayloadServer& operator=(const PayloadServer&) = delete;

  uint16_t port() const { return port_; }
  const Token& token() const { return token_; }

 private:
  struct Reader {
    Reader(Descriptor socket, const RegionTable& regions, const Token& token)
        : socket(std::move(socket)), lending(regions, token) {}
    Descriptor socket;
    Lending lending;
    /// When it last did something that we wait for.
    Clock::time_point heard = Clock::now();
    bool ended = false;
  };

  void loop();
  void waitForSomething(std::vector<pollfd>& polled);
  void accept();
  void serve(Reader& reader, short events);
  bool receive(Reader& reader);
  bool send(Reader& reader);
  void closeLate();

  const RegionTable& regions_;
  const ServerLimits limits_;
  Token token_{};
  Wake wake_;
  Descriptor socket_;
  uint16_t port_ = 0;
  /// There were no descriptors for another reader: it is asked again then.
  Clock::time_point acceptAgain_{};
  std::list<Reader> readers_;
  std::atomic<bool> quit_{false};
  std::thread thread_;
};

}  // namespace stator::transfer
