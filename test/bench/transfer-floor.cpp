// What moving bytes costs without us, for the bench of transfers: one memcpy, one memcpy and a pass of XXH3 behind it, and a
// plain socket between two processes.
//   transfer-floor BLOCK_BYTES POOL_BYTES     answers each line "copy", "hash" or "socket" with the seconds for the pool
// Compiled with native/core/xxh3.cpp and the flags of the addon.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "core/xxh3.h"

namespace {

size_t blockBytes;
size_t poolBytes;

double now() {
  timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return static_cast<double>(at.tv_sec) + static_cast<double>(at.tv_nsec) * 1e-9;
}

/// Touched, in large pages where there are any: as ours are.
uint8_t* openPool(int byte) {
  auto* pool = static_cast<uint8_t*>(mmap(nullptr, poolBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  madvise(pool, poolBytes, MADV_HUGEPAGE);
  memset(pool, byte, poolBytes);
  return pool;
}

void check(bool holds) {
  if (!holds) exit(1);
}

void writeAll(int socket, iovec* parts, int count) {
  while (count > 0) {
    auto sent = writev(socket, parts, count);
    check(sent > 0);
    for (; count > 0 && static_cast<size_t>(sent) >= parts->iov_len; parts++, count--) sent -= static_cast<ssize_t>(parts->iov_len);
    if (count > 0) *parts = {static_cast<uint8_t*>(parts->iov_base) + sent, parts->iov_len - static_cast<size_t>(sent)};
  }
}

void readAll(int socket, void* to, size_t bytes) {
  for (size_t at = 0; at < bytes;) {
    const auto got = read(socket, static_cast<uint8_t*>(to) + at, bytes - at);
    check(got > 0);
    at += static_cast<size_t>(got);
  }
}

/// Sends the pool block by block whenever it hears a byte.
[[noreturn]] void send(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = static_cast<in_port_t>(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  check(connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  const int yes = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  uint8_t* pool = openPool(3);
  for (char byte; read(socket, &byte, 1) == 1;) {
    for (uint64_t at = 0; at < poolBytes; at += blockBytes) {
      uint64_t head[2] = {at, blockBytes};
      iovec parts[2] = {{head, sizeof head}, {pool + at, blockBytes}};
      writeAll(socket, parts, 2);
    }
  }
  exit(0);
}

int openSocket() {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  check(bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0 && listen(listener, 1) == 0);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  if (fork() == 0) send(address.sin_port);
  const int socket = accept(listener, nullptr, nullptr);
  check(socket >= 0);
  return socket;
}

uint64_t sum = 0;

double copyPool(const uint8_t* from, uint8_t* to, bool hashes) {
  const double before = now();
  for (size_t at = 0; at < poolBytes; at += blockBytes) {
    memcpy(to + at, from + at, blockBytes);
    if (hashes) sum += stator::xxh3(to + at, blockBytes, 0x564b5453);
  }
  return now() - before;
}

double receivePool(int socket, uint8_t* to) {
  const double before = now();
  const char byte = 1;
  check(write(socket, &byte, 1) == 1);
  for (size_t at = 0; at < poolBytes; at += blockBytes) {
    uint64_t head[2];
    readAll(socket, head, sizeof head);
    readAll(socket, to + head[0], head[1]);
  }
  return now() - before;
}

}  // namespace

int main(int count, char** arguments) {
  check(count == 3);
  blockBytes = strtoull(arguments[1], nullptr, 10);
  poolBytes = strtoull(arguments[2], nullptr, 10);
  const int socket = openSocket();
  uint8_t* from = openPool(1);
  uint8_t* to = openPool(2);
  puts("ready");
  fflush(stdout);
  for (char line[32]; fgets(line, sizeof line, stdin) != nullptr;) {
    const double took = line[0] == 's' ? receivePool(socket, to) : copyPool(from, to, line[0] == 'h');
    printf("%.9f %d\n", took, static_cast<int>(sum & 1));
    fflush(stdout);
  }
  return 0;
}
