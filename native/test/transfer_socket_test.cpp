// Sockets that give out regions: both ends with each other, and each against somebody who says anything.
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

#include "check.h"
#include "transfer/borrowing.h"
#include "transfer/lending.h"
#include "transfer/payload_client.h"
#include "transfer/payload_server.h"
#include "transfer_rig.h"

using namespace stator;
using namespace stator::transfer;
using namespace stator::test;

namespace {

struct Connected {
  std::shared_ptr<Source> source;
  std::string reason;
};

Connected connectTo(PayloadClient& client, uint16_t port, const Hello& hello, int deadlineMs = 10'000) {
  const auto outcome = std::make_shared<Late<Connected>>();
  client.connect(parseAddress("127.0.0.1", port), hello, Clock::now() + std::chrono::milliseconds(deadlineMs),
                 [outcome](std::shared_ptr<Source> source, const std::string& reason) {
                   outcome->set({std::move(source), reason});
                 });
  return outcome->wait();
}

/// A region behind a socket, and somebody who reads it.
struct Pair {
  explicit Pair(Rng& rng, size_t bytes, const ServerLimits& limits = {}) : from(filledRegion(rng, 1, bytes)) {
    to = Region::open(2, bytes);
    regions.add(from);
    server = std::make_unique<PayloadServer>("127.0.0.1", 0, regions, limits);
  }
  Hello hello() const { return {server->token(), 1, from->sizeBytes()}; }
  Connected connect() { return connectTo(client, server->port(), hello()); }

  std::shared_ptr<Region> from;
  std::shared_ptr<Region> to;
  RegionTable regions;
  std::unique_ptr<PayloadServer> server;
  PayloadClient client;
};

/// A listening socket that nobody serves.
struct DeafSocket {
  DeafSocket() : socket(openSocket(parseAddress("127.0.0.1", 0))) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    ::listen(socket.number(), 1);
    ::getsockname(socket.number(), reinterpret_cast<sockaddr*>(&address), &size);
    port = ntohs(address.sin_port);
  }
  Descriptor socket;
  uint16_t port = 0;
};

/// Moves bytes between the two machines without a socket, in pieces of any size.
void exchange(Rng& rng, Lending& lending, Borrowing& borrowing) {
  for (bool moved = true; moved;) {
    moved = false;
    const auto asks = borrowing.output();
    const auto room = lending.room();
    const size_t asked = std::min({asks.size(), room.size(), 1 + rng.below(5000)});
    if (asked > 0) {
      std::memcpy(room.data(), asks.data(), asked);
      borrowing.sent(asked);
      if (!lending.received(asked)) return borrowing.fail("the owner ended it");
      moved = true;
    }
    iovec parts[3];
    iovec places[3];
    if (lending.output(parts, 1 + rng.below(3)) == 0) continue;
    borrowing.room(places, 1 + rng.below(3));
    const size_t given = std::min({parts[0].iov_len, places[0].iov_len, 1 + rng.below(100'000)});
    std::memcpy(places[0].iov_base, parts[0].iov_base, given);
    lending.sent(given);
    if (!lending.received(0) || !borrowing.received(given)) return borrowing.fail(borrowing.reason());
    moved = true;
  }
}

}  // namespace

TEST(blocks_arrive_by_a_socket) {
  Rng rng(11);
  Pair pair(rng, 3 << 20);
  const auto connected = pair.connect();
  CHECK(connected.source != nullptr);
  for (int round = 0; round < 40; round++) {
    const auto plan = randomPlan(rng, pair.from->sizeBytes());
    std::memset(pair.to->data(), 0, pair.to->sizeBytes());
    const auto result = copyPlan(*connected.source, pair.from, pair.to, plan, rng.below(2) == 0);
    CHECK(result.status == CopyStatus::done);
    CHECK(arrived(*pair.from, *pair.to, plan, plan.from.size()));
  }
}

TEST(blocks_longer_than_an_ask_arrive) {
  Rng rng(12);
  Pair pair(rng, 21 << 20);
  const auto connected = pair.connect();
  for (const size_t blockBytes : {(size_t{21} << 20), (size_t{7} << 20) - 1, (size_t{10} << 20) + 3}) {
    const auto plan = evenPlan(pair.from->sizeBytes() / blockBytes, blockBytes);
    std::memset(pair.to->data(), 0, pair.to->sizeBytes());
    CHECK(copyPlan(*connected.source, pair.from, pair.to, plan, true).status == CopyStatus::done);
    CHECK(arrived(*pair.from, *pair.to, plan, plan.from.size()));
  }
}

TEST(a_wrong_block_of_a_socket_ends_its_copy_and_not_the_next_one) {
  Rng rng(13);
  Pair pair(rng, 4 << 20);
  const auto connected = pair.connect();
  const auto plan = evenPlan(40, 100'000);
  auto wrong = orderOf(pair.from, pair.to, plan, true);
  wrong.checksums[7] ^= 1;
  const auto first = submit(*connected.source, std::move(wrong));
  const auto second = submit(*connected.source, orderOf(pair.from, pair.to, plan, true));
  const auto result = first.outcome->wait();
  CHECK(result.status == CopyStatus::corrupt);
  CHECK(result.copied == 7);
  CHECK(second.outcome->wait().status == CopyStatus::done);
}

TEST(who_is_not_welcome_at_a_socket_is_told_why) {
  Rng rng(14);
  Pair pair(rng, 1 << 20);
  auto token = pair.hello();
  token.token[15] ^= 1;
  CHECK(connectTo(pair.client, pair.server->port(), token).reason == welcomeReason(Welcome::wrongToken));
  auto region = pair.hello();
  region.region = 5;
  CHECK(connectTo(pair.client, pair.server->port(), region).reason == welcomeReason(Welcome::noRegion));
  auto size = pair.hello();
  size.regionBytes += 1;
  CHECK(connectTo(pair.client, pair.server->port(), size).reason == welcomeReason(Welcome::otherSize));
  CHECK(pair.connect().source != nullptr);
}

TEST(a_socket_takes_so_many_readers_and_a_place_becomes_free) {
  Rng rng(15);
  ServerLimits limits;
  limits.readers = 1;
  Pair pair(rng, 1 << 20, limits);
  auto first = pair.connect();
  CHECK(first.source != nullptr);
  CHECK(pair.connect().source == nullptr);
  first.source->close();
  Connected again;
  for (int tries = 0; tries < 1000 && again.source == nullptr; tries++) again = pair.connect();
  CHECK(again.source != nullptr);
}

TEST(a_socket_that_says_nothing_is_given_up) {
  DeafSocket deaf;
  PayloadClient client;
  const auto late = connectTo(client, deaf.port, Hello{{}, 1, 100}, 30);
  CHECK(late.reason == "The other side's socket did not answer in time.");
  deaf.socket.reset();
  CHECK(connectTo(client, deaf.port, Hello{{}, 1, 100}).source == nullptr);
}

TEST(a_reader_that_takes_nothing_of_what_it_asked_for_is_closed) {
  Rng rng(21);
  ServerLimits limits;
  limits.readers = 1;
  limits.stall = std::chrono::milliseconds(40);
  Pair pair(rng, 16 << 20, limits);
  auto address = parseAddress("127.0.0.1", pair.server->port());
  const Descriptor socket(::socket(AF_INET, SOCK_STREAM, 0));
  CHECK(::connect(socket.number(), reinterpret_cast<sockaddr*>(&address.bytes), address.size) == 0);
  auto said = writeHello(pair.hello());
  const Range all{0, 16 << 20};
  appendAsk(said, {&all, 1});
  CHECK(::send(socket.number(), said.data(), said.size(), 0) == static_cast<ssize_t>(said.size()));
  // Its place becomes free; who has nothing to take keeps his for longer.
  Connected next;
  const auto end = Clock::now() + std::chrono::seconds(20);
  while (next.source == nullptr && Clock::now() < end) next = pair.connect();
  CHECK(next.source != nullptr);
  const DeafSocket deaf;
  PayloadClient other;
  connectTo(other, deaf.port, pair.hello(), 120);
  CHECK(copyPlan(*next.source, pair.from, pair.to, evenPlan(4, 100), true).status == CopyStatus::done);
}

TEST(copies_end_when_the_owner_goes_and_when_the_reader_stops) {
  Rng rng(16);
  Pair pair(rng, 4 << 20);
  const auto connected = pair.connect();
  const auto plan = evenPlan(40, 100'000);
  std::vector<Submitted> all;
  for (int i = 0; i < 30; i++) all.push_back(submit(*connected.source, orderOf(pair.from, pair.to, plan, false)));
  pair.server = nullptr;
  for (const auto& each : all) {
    const auto status = each.outcome->wait().status;
    CHECK(status == CopyStatus::done || status == CopyStatus::failed);
  }
  CHECK(copyPlan(*connected.source, pair.from, pair.to, plan, false).status == CopyStatus::failed);
  pair.client.stop();
  CHECK(copyPlan(*connected.source, pair.from, pair.to, plan, false).status == CopyStatus::failed);
}

TEST(a_region_that_is_given_back_ends_its_readers) {
  Rng rng(17);
  Pair pair(rng, 1 << 20);
  const auto connected = pair.connect();
  pair.regions.remove(1);
  pair.from->giveBack();
  CHECK(copyPlan(*connected.source, pair.to, pair.to, evenPlan(4, 100), false).status == CopyStatus::failed);
  CHECK(pair.connect().reason == welcomeReason(Welcome::noRegion));
}

TEST(what_was_cancelled_is_read_and_dropped) {
  Rng rng(18);
  for (int round = 0; round < 60; round++) {
    RegionTable regions;
    const auto from = filledRegion(rng, 1, 1 << 20);
    const auto to = Region::open(2, 1 << 20);
    regions.add(from);
    Lending lending(regions, Token{});
    Borrowing borrowing(Hello{Token{}, 1, from->sizeBytes()});
    const auto plan = randomPlan(rng, from->sizeBytes());
    const auto gone = jobOf(orderOf(from, to, plan, true));
    const auto stays = jobOf(orderOf(from, to, plan, true));
    borrowing.add(gone.job);
    borrowing.add(stays.job);
    // Some of it has come by then.
    iovec place{};
    for (size_t i = 0; i < rng.below(40); i++) {
      const auto asks = borrowing.output();
      const size_t asked = std::min(asks.size(), lending.room().size());
      if (asked > 0) {
        std::memcpy(lending.room().data(), asks.data(), asked);
        borrowing.sent(asked);
        CHECK(lending.received(asked));
      }
      iovec part{};
      if (lending.output(&part, 1) == 0) break;
      borrowing.room(&place, 1);
      const size_t given = std::min({part.iov_len, place.iov_len, size_t{3000}});
      std::memcpy(place.iov_base, part.iov_base, given);
      lending.sent(given);
      CHECK(borrowing.received(given));
    }
    gone.job->cancel();
    borrowing.settleOver();
    const auto status = gone.outcome->wait().status;
    CHECK(status == CopyStatus::cancelled || status == CopyStatus::done);
    std::memset(to->data(), 0, to->sizeBytes());
    exchange(rng, lending, borrowing);
    const auto result = stays.outcome->wait();
    CHECK(result.status == CopyStatus::done || result.status == CopyStatus::corrupt);
    // Bytes that had come for the second one were wiped out above, never written by the first one afterwards.
    if (result.status == CopyStatus::done) CHECK(result.copied == plan.from.size());
  }
}

TEST(an_owner_that_hears_anything_gives_out_its_region_alone) {
  Rng rng(19);
  for (int round = 0; round < 3000; round++) {
    RegionTable regions;
    const auto from = Region::open(1, 1 << 16);
    regions.add(from);
    Lending lending(regions, Token{});
    std::vector<uint8_t> said = rng.below(8) == 0 ? std::vector<uint8_t>() : writeHello({Token{}, 1, from->sizeBytes()});
    for (size_t asks = rng.below(8); asks > 0; asks--) {
      std::vector<Range> ranges(1 + rng.below(rng.below(4) == 0 ? 400 : 4));
      for (auto& range : ranges) range = {rng.below(1 << 16), 1 + rng.below(1 << (rng.below(40) == 0 ? 20 : 8))};
      appendAsk(said, ranges);
    }
    for (size_t flips = rng.below(3); flips > 0 && !said.empty(); flips--) said[rng.below(said.size())] = rng.next() & 255;
    for (size_t at = 0; at < said.size();) {
      const auto room = lending.room();
      const size_t some = std::min({room.size(), said.size() - at, 1 + rng.below(600)});
      std::copy_n(said.begin() + static_cast<ptrdiff_t>(at), some, room.begin());
      at += some;
      if (!lending.received(some)) break;
      iovec parts[8];
      size_t bytes = 0;
      const size_t count = lending.output(parts, 8);
      for (size_t i = 0; i < count; i++) {
        const auto* begin = static_cast<const uint8_t*>(parts[i].iov_base);
        const bool isHead = parts[i].iov_len <= kAnswerHeadBytes && (begin < from->data() || begin >= from->data() + from->sizeBytes());
        CHECK(isHead || (begin >= from->data() && begin + parts[i].iov_len <= from->data() + from->sizeBytes()));
        bytes += parts[i].iov_len;
      }
      const size_t sent = rng.below(bytes + 1);
      if (count > 0) lending.sent(sent);
      if (!lending.received(0) || (room.empty() && count == 0)) break;
    }
  }
}

TEST(a_reader_that_hears_anything_writes_where_it_asked_for_alone) {
  Rng rng(20);
  for (int round = 0; round < 1500; round++) {
    const auto from = Region::open(1, 1 << 16);
    const auto to = Region::open(2, 1 << 16);
    const auto plan = randomPlan(rng, from->sizeBytes());
    Borrowing borrowing(Hello{Token{}, 1, from->sizeBytes()});
    const auto made = jobOf(orderOf(from, to, plan, true));
    borrowing.add(made.job);
    std::vector<bool> allowed(to->sizeBytes());
    for (const uint64_t at : plan.to) std::fill_n(allowed.begin() + static_cast<ptrdiff_t>(at), plan.blockBytes, true);
    bool goes = true;
    for (size_t turn = 0; goes && turn < 60 && !made.job->isSettled(); turn++) {
      borrowing.sent(borrowing.output().size());
      iovec places[4];
      const size_t count = borrowing.room(places, 4);
      CHECK(count > 0);
      size_t room = 0;
      for (size_t i = 0; i < count; i++) room += places[i].iov_len;
      const size_t some = 1 + rng.below(std::min<size_t>(room, rng.below(2) == 0 ? 9 : room));
      std::vector<uint8_t> said(some, 0);
      const auto head = turn == 0 ? writeWelcome(Welcome::ok) : writeAnswerHead();
      std::copy_n(head.begin(), std::min(some, head.size()), said.begin());
      if (rng.below(20) == 0) said[rng.below(said.size())] = rng.next() & 255;
      for (size_t i = 0, at = 0; i < count && at < some; i++) {
        const size_t part = std::min(places[i].iov_len, some - at);
        auto* begin = static_cast<uint8_t*>(places[i].iov_base);
        if (begin >= to->data() && begin < to->data() + to->sizeBytes()) {
          CHECK(allowed[static_cast<size_t>(begin - to->data())] && begin + part <= to->data() + to->sizeBytes());
        }
        std::memcpy(begin, said.data() + at, part);
        at += part;
      }
      goes = borrowing.received(some);
    }
    borrowing.fail("the round is over");
    made.outcome->wait();
  }
}
