#include "transfer/payload_client.h"

#include <poll.h>
#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace stator::transfer {
namespace {

constexpr size_t kParts = 16;
/// So much is taken of one connection before the next one has its turn.
constexpr size_t kTurnBytes = size_t{4} << 20;

constexpr const char* kClosed = "The mover was closed.";

std::string unreachable() {
  return std::string("The other side's socket cannot be reached: ") + std::strerror(errno) + ".";
}

}  // namespace

struct PayloadClient::Connection : std::enable_shared_from_this<Connection> {
  Connection(Descriptor socket, const Hello& hello, Clock::time_point deadline, Connected connected)
      : socket(std::move(socket)),
        borrowing(hello),
        bytes(hello.regionBytes),
        deadline(deadline),
        connected(std::move(connected)) {}

  Descriptor socket;
  Borrowing borrowing;
  const uint64_t bytes;
  /// By then it is welcome.
  const Clock::time_point deadline;
  /// Until it was told.
  Connected connected;
  bool ended = false;
  std::string reason;
};

class PayloadClient::SocketSource : public Source {
 public:
  SocketSource(std::shared_ptr<Connection> connection, PayloadClient& client)
      : Source(connection->bytes), connection_(std::move(connection)), orders_(client.orders_), client_(client) {}
  ~SocketSource() override { SocketSource::close(); }

  void submit(std::shared_ptr<Job> job) override {
    const bool taken = orders_->post([connection = connection_, job] {
      connection->ended ? job->fail(0, connection->reason) : connection->borrowing.add(job);
    });
    if (!taken) job->fail(0, kClosed);
  }
  void nudge(const std::shared_ptr<Job>&) override {
    orders_->post([connection = connection_] { connection->borrowing.settleOver(); });
  }
  void close() override {
    orders_->post([connection = connection_, &client = client_] {
      client.end(*connection, "The memory that it reads was closed.");
    });
  }

 private:
  const std::shared_ptr<Connection> connection_;
  const std::shared_ptr<Orders> orders_;
  /// For what runs on its thread.
  PayloadClient& client_;
};

void PayloadClient::connect(const SocketAddress& address, const Hello& hello, Clock::time_point deadline,
                            Connected connected) {
  Descriptor socket = openSocket(address);
  const auto* bytes = reinterpret_cast<const sockaddr*>(&address.bytes);
  const bool begins = socket.isOpen() && (::connect(socket.number(), bytes, address.size) == 0 || errno == EINPROGRESS);
  if (!begins) return connected(nullptr, unreachable());
  auto made = std::make_shared<Connection>(std::move(socket), hello, deadline, std::move(connected));
  if (!thread_.joinable() && !quit_) thread_ = std::thread([this] { loop(); });
  const bool taken = orders_->post([this, made] { connections_.push_back(made); });
  if (!taken) made->connected(nullptr, kClosed);
}

bool PayloadClient::Orders::post(std::function<void()> order) {
  const std::lock_guard lock(mutex);
  if (stopped) return false;
  waiting.push_back(std::move(order));
  wake.ring();
  return true;
}

std::vector<std::function<void()>> PayloadClient::Orders::take() {
  const std::lock_guard lock(mutex);
  return std::exchange(waiting, {});
}

void PayloadClient::stop() {
  {
    const std::lock_guard lock(orders_->mutex);
    orders_->stopped = true;
  }
  quit_ = true;
  orders_->wake.ring();
  if (thread_.joinable()) thread_.join();
}

void PayloadClient::runOrders() {
  for (const auto& order : orders_->take()) order();
}

void PayloadClient::loop() {
  ::pthread_setname_np(::pthread_self(), "stator-borrow");
  std::vector<pollfd> polled;
  while (!quit_) {
    runOrders();
    connections_.remove_if([](const auto& each) { return each->ended; });
    polled.assign(1, {orders_->wake.number(), POLLIN, 0});
    for (const auto& each : connections_) {
      const int events = POLLIN | (each->borrowing.output().empty() ? 0 : POLLOUT);
      polled.push_back({each->socket.number(), static_cast<short>(events), 0});
    }
    ::poll(polled.data(), polled.size(), timeoutMs());
    if (polled[0].revents != 0) orders_->wake.heard();
    size_t at = 1;
    for (const auto& each : connections_) serve(*each, polled[at++].revents);
    settleLate();
  }
  runOrders();
  for (const auto& each : connections_) end(*each, kClosed);
  connections_.clear();
}

int PayloadClient::timeoutMs() const {
  std::optional<Clock::time_point> first;
  for (const auto& each : connections_) {
    const auto at = each->connected != nullptr ? each->deadline : each->borrowing.deadline();
    if (at.has_value() && (!first.has_value() || *at < *first)) first = at;
  }
  if (!first.has_value()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*first - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 60'000));
}

void PayloadClient::settleLate() {
  const auto now = Clock::now();
  for (const auto& each : connections_) {
    if (each->ended) continue;
    if (each->connected != nullptr && now >= each->deadline) {
      end(*each, "The other side's socket did not answer in time.");
    } else if (const auto first = each->borrowing.deadline(); first.has_value() && now >= *first) {
      each->borrowing.settleOver();
    }
  }
}

void PayloadClient::serve(Connection& connection, short events) {
  if (events == 0 || connection.ended) return;
  if ((events & POLLOUT) != 0 && !send(connection)) return;
  if ((events & (POLLIN | POLLHUP | POLLERR)) != 0) receive(connection);
}

bool PayloadClient::send(Connection& connection) {
  const auto output = connection.borrowing.output();
  if (output.empty()) return true;
  const iovec part{const_cast<uint8_t*>(output.data()), output.size()};
  const ssize_t sent = sendSome(connection.socket.number(), &part, 1);
  if (sent < 0) {
    end(connection, unreachable());
    return false;
  }
  connection.borrowing.sent(static_cast<size_t>(sent));
  return true;
}

bool PayloadClient::receive(Connection& connection) {
  for (size_t turn = 0; turn < kTurnBytes;) {
    iovec parts[kParts];
    const size_t count = connection.borrowing.room(parts, kParts);
    const ssize_t got = receiveSome(connection.socket.number(), parts, count);
    if (got == 0) return true;
    if (got < 0) {
      end(connection, "The other side has ended the connection.");
      return false;
    }
    if (!connection.borrowing.received(static_cast<size_t>(got))) {
      end(connection, connection.borrowing.reason());
      return false;
    }
    turn += static_cast<size_t>(got);
    // What is asked for next goes out now: the other side sends on while this one reads.
    if (!send(connection)) return false;
    if (connection.connected == nullptr || !connection.borrowing.isWelcome()) continue;
    auto source = std::make_shared<SocketSource>(connection.shared_from_this(), *this);
    std::exchange(connection.connected, nullptr)(std::move(source), "");
  }
  return true;
}

void PayloadClient::end(Connection& connection, const std::string& reason) {
  if (std::exchange(connection.ended, true)) return;
  connection.reason = reason;
  connection.socket.reset();
  connection.borrowing.fail(reason);
  const auto connected = std::exchange(connection.connected, nullptr);
  if (connected != nullptr) connected(nullptr, reason);
}

}  // namespace stator::transfer
