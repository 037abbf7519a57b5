#include "transfer/frames.h"

#include <bit>
#include <cstring>

namespace stator::transfer {
namespace {

static_assert(std::endian::native == std::endian::little, "frames are little endian");

/// "STPY", "STAK" and "STAN", as they lie in memory.
constexpr uint32_t kHelloMagic = 0x59505453;
constexpr uint32_t kAskMagic = 0x4b415453;
constexpr uint32_t kAnswerMagic = 0x4e415453;
constexpr uint32_t kRevision = 1;

template <typename T>
T readAt(std::span<const uint8_t> bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

template <typename T>
void append(std::vector<uint8_t>& out, T value) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof value);
}

std::array<uint8_t, 8> pairOf(uint32_t magic, uint32_t value) {
  std::array<uint8_t, 8> out{};
  std::memcpy(out.data(), &magic, sizeof magic);
  std::memcpy(out.data() + 4, &value, sizeof value);
  return out;
}

}  // namespace

bool equalTokens(const Token& left, const Token& right) {
  uint8_t differs = 0;
  for (size_t i = 0; i < kTokenBytes; i++) differs |= left[i] ^ right[i];
  return differs == 0;
}

std::vector<uint8_t> writeHello(const Hello& hello) {
  std::vector<uint8_t> out;
  append(out, kHelloMagic);
  append(out, kRevision);
  out.insert(out.end(), hello.token.begin(), hello.token.end());
  append(out, hello.region);
  append(out, uint32_t{0});
  append(out, hello.regionBytes);
  return out;
}

std::optional<Hello> readHello(std::span<const uint8_t> bytes) {
  if (bytes.size() != kHelloBytes || readAt<uint32_t>(bytes, 0) != kHelloMagic) return std::nullopt;
  if (readAt<uint32_t>(bytes, 4) != kRevision) return std::nullopt;
  Hello hello;
  std::memcpy(hello.token.data(), bytes.data() + 8, kTokenBytes);
  hello.region = readAt<uint32_t>(bytes, 24);
  hello.regionBytes = readAt<uint64_t>(bytes, 32);
  return hello;
}

std::array<uint8_t, kWelcomeBytes> writeWelcome(Welcome status) {
  return pairOf(kHelloMagic, static_cast<uint32_t>(status));
}

std::optional<Welcome> readWelcome(std::span<const uint8_t> bytes) {
  if (bytes.size() != kWelcomeBytes || readAt<uint32_t>(bytes, 0) != kHelloMagic) return std::nullopt;
  const auto status = readAt<uint32_t>(bytes, 4);
  if (status > static_cast<uint32_t>(Welcome::crowded)) return std::nullopt;
  return static_cast<Welcome>(status);
}

const char* welcomeReason(Welcome status) {
  constexpr const char* reasons[] = {
      "", "The other side does not know the token.", "The other side has no such region.",
      "The other side's region has another size.", "The other side has all the readers that it takes."};
  return reasons[static_cast<uint32_t>(status)];
}

void appendAsk(std::vector<uint8_t>& out, std::span<const Range> ranges) {
  append(out, kAskMagic);
  append(out, static_cast<uint32_t>(ranges.size()));
  for (const auto& range : ranges) {
    append(out, range.offset);
    append(out, range.bytes);
  }
}

size_t readAskHead(std::span<const uint8_t> head) {
  if (head.size() != kAskHeadBytes || readAt<uint32_t>(head, 0) != kAskMagic) return 0;
  const auto count = readAt<uint32_t>(head, 4);
  return count <= kAskRanges ? count : 0;
}

std::optional<Range> readRange(std::span<const uint8_t> bytes, uint64_t regionBytes) {
  if (bytes.size() != kAskRangeBytes) return std::nullopt;
  const Range range{readAt<uint64_t>(bytes, 0), readAt<uint64_t>(bytes, 8)};
  const bool fits = range.bytes > 0 && range.bytes <= regionBytes && range.offset <= regionBytes - range.bytes;
  if (!fits) return std::nullopt;
  return range;
}

std::array<uint8_t, kAnswerHeadBytes> writeAnswerHead() { return pairOf(kAnswerMagic, 0); }

bool readAnswerHead(std::span<const uint8_t> head) {
  return head.size() == kAnswerHeadBytes && readAt<uint32_t>(head, 0) == kAnswerMagic && readAt<uint32_t>(head, 4) == 0;
}

}  // namespace stator::transfer
