#include "transfer/lending.h"

#include <algorithm>
#include <cstring>

namespace stator::transfer {

std::span<uint8_t> Lending::room() {
  if (refused_ || answersPending_ >= kAsksAhead) return {};
  return std::span(input_).subspan(inputBytes_);
}

bool Lending::received(size_t bytes) {
  inputBytes_ += bytes;
  return takeFrames();
}

bool Lending::takeFrames() {
  size_t taken = 0;
  while (!refused_ && answersPending_ < kAsksAhead) {
    const ptrdiff_t frame = takeFrame(std::span<const uint8_t>(input_).subspan(taken, inputBytes_ - taken));
    if (frame < 0) return false;
    if (frame == 0) break;
    taken += static_cast<size_t>(frame);
  }
  std::memmove(input_.data(), input_.data() + taken, inputBytes_ - taken);
  inputBytes_ -= taken;
  return true;
}

ptrdiff_t Lending::takeFrame(std::span<const uint8_t> input) {
  if (region_ == nullptr) return takeHello(input);
  if (region_->isGone()) return -1;
  if (input.size() < kAskHeadBytes) return 0;
  const size_t count = readAskHead(input.first(kAskHeadBytes));
  if (count == 0) return -1;
  const size_t frameBytes = kAskHeadBytes + count * kAskRangeBytes;
  if (input.size() < frameBytes) return 0;
  static const auto head = writeAnswerHead();
  pending_.push_back({head.data(), head.size(), false});
  for (size_t i = 0; i < count; i++) {
    const auto range = readRange(input.subspan(kAskHeadBytes + i * kAskRangeBytes, kAskRangeBytes), region_->sizeBytes());
    if (!range.has_value()) return -1;
    pending_.push_back({region_->data() + range->offset, range->bytes, i + 1 == count});
  }
  answersPending_++;
  return static_cast<ptrdiff_t>(frameBytes);
}

ptrdiff_t Lending::takeHello(std::span<const uint8_t> input) {
  if (input.size() < kHelloBytes) return 0;
  const auto hello = readHello(input.first(kHelloBytes));
  if (!hello.has_value()) return -1;
  auto status = Welcome::wrongToken;
  if (equalTokens(hello->token, token_)) {
    const auto region = regions_.find(hello->region);
    status = region == nullptr                              ? Welcome::noRegion
             : region->sizeBytes() != hello->regionBytes ? Welcome::otherSize
                                                            : Welcome::ok;
    if (status == Welcome::ok) region_ = region;
  }
  refused_ = status != Welcome::ok;
  welcome_ = writeWelcome(status);
  pending_.push_back({welcome_.data(), welcome_.size(), false});
  return kHelloBytes;
}

size_t Lending::output(iovec* out, size_t most) const {
  const size_t count = std::min(most, pending_.size());
  for (size_t i = 0; i < count; i++) out[i] = {const_cast<uint8_t*>(pending_[i].data), pending_[i].bytes};
  return count;
}

void Lending::sent(size_t bytes) {
  while (bytes > 0) {
    auto& first = pending_.front();
    const size_t taken = std::min(bytes, first.bytes);
    first.data += taken;
    first.bytes -= taken;
    bytes -= taken;
    if (first.bytes > 0) return;
    if (first.endsAnswer) answersPending_--;
    pending_.pop_front();
  }
}

}  // namespace stator::transfer
