#include "transfer/socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <cstring>

#include "engine/failure.h"

namespace stator::transfer {
namespace {

bool isLater(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

}  // namespace

Wake::Wake() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!event_.isOpen()) throw Failure(Code::outOfMemory, "No descriptor is left for a thread of transfers.");
}

void Wake::ring() {
  const uint64_t one = 1;
  // It fails only when it rings already.
  [[maybe_unused]] const ssize_t written = ::write(event_.number(), &one, sizeof one);
}

void Wake::heard() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(event_.number(), &count, sizeof count);
}

SocketAddress parseAddress(const std::string& host, uint16_t port) {
  SocketAddress address;
  sockaddr_in four{};
  sockaddr_in6 six{};
  if (::inet_pton(AF_INET, host.c_str(), &four.sin_addr) == 1) {
    four.sin_family = AF_INET;
    four.sin_port = htons(port);
    std::memcpy(&address.bytes, &four, sizeof four);
    address.size = sizeof four;
  } else if (::inet_pton(AF_INET6, host.c_str(), &six.sin6_addr) == 1) {
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(port);
    std::memcpy(&address.bytes, &six, sizeof six);
    address.size = sizeof six;
  } else {
    throw Failure(Code::invalidArgument, host + " is no numeric address.");
  }
  return address;
}

Descriptor openSocket(const SocketAddress& address) {
  Descriptor socket(::socket(address.bytes.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int yes = 1;
  if (socket.isOpen()) ::setsockopt(socket.number(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  return socket;
}

ssize_t sendSome(int socket, const iovec* parts, size_t count) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts);
  message.msg_iovlen = count;
  const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent >= 0 ? sent : isLater(errno) ? 0 : -1;
}

ssize_t receiveSome(int socket, iovec* parts, size_t count) {
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = count;
  const ssize_t got = ::recvmsg(socket, &message, MSG_DONTWAIT);
  // No bytes are the orderly end of the other side.
  return got > 0 ? got : got < 0 && isLater(errno) ? 0 : -1;
}

}  // namespace stator::transfer
