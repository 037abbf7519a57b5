#pragma once
#include <sys/uio.h>

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/xxh3.h"
#include "transfer/frames.h"
#include "transfer/job.h"

namespace stator::transfer {

/// What a reader makes of the bytes of one owner of a region; knows no socket. Jobs are settled in their order.
class Borrowing {
 public:
  explicit Borrowing(const Hello& hello) : out_(writeHello(hello)) {}
  ~Borrowing() { fail("The connection was closed."); }

  void add(std::shared_ptr<Job> job);
  /// Settles what was cancelled or is late. What is on its way for it is read and dropped.
  void settleOver();
  /// Ends all jobs; nothing may be received any more.
  void fail(const std::string& reason);
  /// When the first job is late; nothing without jobs.
  std::optional<Clock::time_point> deadline() const;

  /// What goes out next.
  std::span<const uint8_t> output() const { return std::span(out_).subspan(outAt_); }
  void sent(size_t bytes);

  /// Where the next bytes of the owner go. Returns how many of `into` are filled.
  size_t room(iovec* into, size_t most);
  /// So many of them came. False when the connection has to end; `reason` says why.
  bool received(size_t bytes);
  const std::string& reason() const { return reason_; }
  bool isWelcome() const { return welcome_; }

 private:
  /// A job whose blocks come. Its bytes come in the order of its blocks.
  struct Reading {
    explicit Reading(std::shared_ptr<Job> job) : job(std::move(job)) {}
    std::shared_ptr<Job> job;
    /// The next byte to ask for.
    size_t askedBlocks = 0;
    uint64_t askedBytes = 0;
    /// What came.
    size_t copied = 0;
    size_t blockBytes = 0;
    Xxh3Progress progress;
  };
  struct Piece {
    uint8_t* to;
    uint64_t bytes;
  };
  /// One ask whose answer is under way.
  struct Ask {
    std::shared_ptr<Reading> reading;
    std::deque<Piece> pieces;
    uint64_t bytes = 0;
  };

  void askMore();
  std::shared_ptr<Reading> nextToAsk();
  void askFor(const std::shared_ptr<Reading>& reading);
  bool takeHead();
  void takeData(size_t bytes);
  void arrived(Reading& reading, uint64_t bytes);
  void forgetSettled();

  std::vector<uint8_t> out_;
  size_t outAt_ = 0;
  bool welcome_ = false;
  std::string reason_;
  std::deque<std::shared_ptr<Reading>> readings_;
  std::deque<Ask> asks_;
  /// Of a welcome or the head of an answer.
  std::array<uint8_t, kAnswerHeadBytes> head_{};
  size_t headBytes_ = 0;
  std::vector<uint8_t> dropped_;
};

}  // namespace stator::transfer
