#pragma once
#include <sys/uio.h>

#include <array>
#include <deque>
#include <memory>
#include <span>

#include "transfer/frames.h"
#include "transfer/region.h"

namespace stator::transfer {

/// What the owner of regions makes of the bytes of one reader; knows no socket.
class Lending {
 public:
  Lending(const RegionTable& regions, const Token& token) : regions_(regions), token_(token) {}

  /// Where the next bytes of the reader go; empty while it is so far ahead that it has to wait.
  std::span<uint8_t> room();
  /// So many of them came. False when the connection has to end at once.
  bool received(size_t bytes);

  /// What goes out next. Returns how many of `out` are filled.
  size_t output(iovec* out, size_t most) const;
  void sent(size_t bytes);
  bool hasOutput() const { return !pending_.empty(); }

  /// The reader was let in.
  bool isWelcome() const { return region_ != nullptr; }
  /// It was not, and the connection ends when the output is out.
  bool isRefused() const { return refused_; }

 private:
  struct Part {
    const uint8_t* data;
    size_t bytes;
    bool endsAnswer;
  };
  /// Takes one frame off the front of the input. Returns its bytes, 0 for not all there, -1 for wrong.
  ptrdiff_t takeFrame(std::span<const uint8_t> input);
  ptrdiff_t takeHello(std::span<const uint8_t> input);
  bool takeFrames();

  const RegionTable& regions_;
  const Token token_;
  std::shared_ptr<Region> region_;
  std::array<uint8_t, kWelcomeBytes> welcome_{};
  bool refused_ = false;
  std::array<uint8_t, kAskHeadBytes + kAskRanges * kAskRangeBytes> input_{};
  size_t inputBytes_ = 0;
  std::deque<Part> pending_;
  size_t answersPending_ = 0;
};

}  // namespace stator::transfer
