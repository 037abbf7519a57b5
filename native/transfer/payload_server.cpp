#include "transfer/payload_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/failure.h"

namespace stator::transfer {
namespace {

constexpr size_t kParts = 16;
/// So much is sent to one reader before the next one has its turn.
constexpr size_t kTurnBytes = size_t{4} << 20;
/// Who is late is looked for at least so often.
constexpr std::chrono::milliseconds kTick{500};
constexpr auto kAcceptPause = std::chrono::milliseconds(200);

[[noreturn]] void refuse(const std::string& host, uint16_t port) {
  const std::string reason = std::strerror(errno);
  throw Failure(Code::unsupported, "No socket can listen at " + host + ":" + std::to_string(port) + ": " + reason + ".");
}

uint16_t portOf(int socket) {
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&bound), &size) != 0) return 0;
  // Both families have the port at the same place.
  sockaddr_in four{};
  std::memcpy(&four, &bound, sizeof four);
  return ntohs(four.sin_port);
}

}  // namespace

PayloadServer::PayloadServer(const std::string& host, uint16_t port, const RegionTable& regions,
                             const ServerLimits& limits)
    : regions_(regions), limits_(limits) {
  const auto address = parseAddress(host, port);
  socket_ = openSocket(address);
  const int yes = 1;
  if (socket_.isOpen()) ::setsockopt(socket_.number(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  const auto* bytes = reinterpret_cast<const sockaddr*>(&address.bytes);
  if (!socket_.isOpen() || ::bind(socket_.number(), bytes, address.size) != 0) refuse(host, port);
  if (::listen(socket_.number(), SOMAXCONN) != 0) refuse(host, port);
  port_ = portOf(socket_.number());
  if (::getrandom(token_.data(), token_.size(), 0) != static_cast<ssize_t>(token_.size())) refuse(host, port);
  thread_ = std::thread([this] { loop(); });
}

PayloadServer::~PayloadServer() {
  quit_ = true;
  wake_.ring();
  thread_.join();
}

void PayloadServer::loop() {
  ::pthread_setname_np(::pthread_self(), "stator-lend");
  std::vector<pollfd> polled;
  while (!quit_) {
    waitForSomething(polled);
    if (polled[0].revents != 0) wake_.heard();
    // New readers come behind those that were polled.
    size_t at = 2;
    for (auto& reader : readers_) serve(reader, polled[at++].revents);
    closeLate();
    readers_.remove_if([](const Reader& reader) { return reader.ended; });
    if (polled[1].revents != 0) accept();
  }
}

void PayloadServer::waitForSomething(std::vector<pollfd>& polled) {
  polled.clear();
  polled.push_back({wake_.number(), POLLIN, 0});
  polled.push_back({Clock::now() < acceptAgain_ ? -1 : socket_.number(), POLLIN, 0});
  for (auto& reader : readers_) {
    const int events = (reader.lending.room().empty() ? 0 : POLLIN) | (reader.lending.hasOutput() ? POLLOUT : 0);
    polled.push_back({reader.socket.number(), static_cast<short>(events), 0});
  }
  const bool isQuiet = readers_.empty() && polled[1].fd >= 0;
  const auto tick = std::min({kTick, limits_.hello, limits_.stall});
  ::poll(polled.data(), polled.size(), isQuiet ? -1 : std::max(1, static_cast<int>(tick.count())));
}

void PayloadServer::accept() {
  for (;;) {
    Descriptor socket(::accept4(socket_.number(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket.isOpen()) {
      // Without a descriptor left the socket stays readable, and to ask at once would never end.
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) acceptAgain_ = Clock::now() + kAcceptPause;
      return;
    }
    const int yes = 1;
    ::setsockopt(socket.number(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (readers_.size() >= limits_.readers) {
      auto told = writeWelcome(Welcome::crowded);
      const iovec part{told.data(), told.size()};
      sendSome(socket.number(), &part, 1);
      continue;
    }
    readers_.emplace_back(std::move(socket), regions_, token_);
  }
}

void PayloadServer::serve(Reader& reader, short events) {
  if (events == 0) return;
  const bool reads = (events & (POLLIN | POLLHUP | POLLERR)) != 0;
  if (reads && !receive(reader)) reader.ended = true;
  if (!reader.ended && reader.lending.hasOutput() && !send(reader)) reader.ended = true;
  if (reader.lending.isRefused() && !reader.lending.hasOutput()) reader.ended = true;
}

bool PayloadServer::receive(Reader& reader) {
  const auto room = reader.lending.room();
  // It has not read what it asked for, and is gone or waits: sending tells which.
  if (room.empty()) return true;
  iovec part{room.data(), room.size()};
  const ssize_t got = receiveSome(reader.socket.number(), &part, 1);
  if (got < 0) return false;
  if (got == 0) return true;
  if (!reader.lending.hasOutput()) reader.heard = Clock::now();
  return reader.lending.received(static_cast<size_t>(got));
}

bool PayloadServer::send(Reader& reader) {
  for (size_t turn = 0; turn < kTurnBytes && reader.lending.hasOutput();) {
    iovec parts[kParts];
    const size_t count = reader.lending.output(parts, kParts);
    const ssize_t sent = sendSome(reader.socket.number(), parts, count);
    if (sent < 0) return false;
    if (sent == 0) return true;
    reader.lending.sent(static_cast<size_t>(sent));
    reader.heard = Clock::now();
    turn += static_cast<size_t>(sent);
  }
  // What it said meanwhile waits in the input when there was no room to take it up.
  return reader.lending.received(0);
}

void PayloadServer::closeLate() {
  const auto now = Clock::now();
  for (auto& reader : readers_) {
    const bool waits = reader.lending.isWelcome() && !reader.lending.hasOutput();
    const auto patience = reader.lending.isWelcome() ? limits_.stall : limits_.hello;
    if (!waits && now - reader.heard > patience) reader.ended = true;
  }
}

}  // namespace stator::transfer
