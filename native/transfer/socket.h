#pragma once
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstdint>
#include <string>

#include "transfer/descriptor.h"

namespace stator::transfer {

/// Brings a thread back from its `poll`.
class Wake {
 public:
  /// Throws OUT_OF_MEMORY when there are no descriptors left.
  Wake();
  int number() const { return event_.number(); }
  /// From any thread.
  void ring();
  /// The thread has heard it.
  void heard();

 private:
  Descriptor event_;
};

/// An address of IPv4 or IPv6.
struct SocketAddress {
  sockaddr_storage bytes{};
  socklen_t size = 0;
};

/// Throws INVALID_ARGUMENT unless the host is a numeric address.
SocketAddress parseAddress(const std::string& host, uint16_t port);

/// A socket that never blocks and sends what it is given at once.
Descriptor openSocket(const SocketAddress& address);

/// What a call on a socket that never blocks came to: bytes, 0 for nothing now, -1 for its end.
ssize_t sendSome(int socket, const iovec* parts, size_t count);
ssize_t receiveSome(int socket, iovec* parts, size_t count);

}  // namespace stator::transfer
