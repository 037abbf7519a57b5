#pragma once
#include <chrono>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "core/xxh3.h"
#include "transfer/job.h"
#include "transfer/nixl_request.h"
#include "transfer/nixl_staging.h"

namespace stator::nixl {

/// Another agent.
struct Remote {
  std::string name;
  /// Requests that have not ended, those that were given up among them.
  size_t requests = 0;
  /// Those of them whose jobs ran out of time. It is not asked again while there are any.
  size_t late = 0;
  /// A read has failed: it is not asked again before it is opened anew.
  bool isLost = false;
};

/// Runs jobs: asks for their bytes a piece at a time, and copies each piece from where it arrived to its blocks, hashing
/// what it puts there. Lives on the agent's thread.
class Reader {
 public:
  Reader(Core& core, const AgentOptions& options)
      : core_(core), peerPieces_(options.peerPieces), staging_(core, options.pieceBytes, options.mostPieces) {}

  /// Takes a job up. `address` is where its source begins at the remote.
  void add(std::shared_ptr<transfer::Job> job, std::shared_ptr<Remote> remote, uint64_t address);
  /// Does what can be done now. True when something was done.
  bool advance();
  /// How long the thread may sleep when nothing was done; nothing: until it has something new to do.
  std::optional<std::chrono::microseconds> pause();
  /// Fails the jobs of a remote's source, or all of them, with the reason.
  void fail(const std::string& reason, const Remote* remote, uint64_t address);
  /// Lets the requests go and gives the pieces' registrations back; before the core closes.
  void close();
  /// Keeps its memory for ever.
  void abandon() { staging_.abandon(); }

 private:
  struct Part {
    size_t block = 0;
    /// Whole blocks; 1 where the part is a stretch of one.
    size_t blocks = 0;
    /// Bytes of the block before it.
    size_t skip = 0;
    size_t bytes = 0;
  };
  struct Flight {
    std::unique_ptr<Request> request;
    Piece* piece = nullptr;
    Part part;
    std::shared_ptr<Remote> remote;
    bool isLate = false;
  };
  struct Run {
    std::shared_ptr<transfer::Job> job;
    std::shared_ptr<Remote> remote;
    uint64_t address = 0;
    /// What is asked for next.
    size_t block = 0;
    size_t skip = 0;
    size_t copied = 0;
    /// Of the block that is arriving.
    Xxh3Progress hash{};
    std::deque<Flight> flights;
    /// Since when nobody that it could wait for holds the memory that it lacks.
    transfer::Clock::time_point waitsSince{};
  };

  bool step(Run& run);
  void notePatience(Run& run);
  bool isFlying() const;
  bool ask(Run& run);
  Part nextPart(const Run& run) const;
  std::vector<Span> spansOf(const Run& run, const Part& part) const;
  bool land(Run& run);
  bool put(Run& run, const uint8_t* from, size_t block, size_t skip, size_t bytes);
  void leave(Run& run);
  void end(Flight& flight);
  bool sweep();

  Core& core_;
  const size_t peerPieces_;
  Staging staging_;
  std::list<Run> runs_;
  /// Given up before they ended.
  std::list<Flight> orphans_;
  int quiet_ = 0;
};

}  // namespace stator::nixl
