#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// What readers and owners of regions say to each other on a socket, little endian:
///
///   reader  hello    u32 magic · u32 revision · 16 bytes token · u32 region · u32 0 · u64 bytes of the region
///   owner   welcome  u32 magic · u32 status
///   reader  ask      u32 magic · u32 count · count × (u64 offset · u64 bytes)          any number of them, ahead
///   owner   answer   u32 magic · u32 status · the bytes of all ranges, in their order
///
/// Answers come in the order of asks. Whoever hears something else ends the connection.
namespace stator::transfer {

constexpr size_t kTokenBytes = 16;
using Token = std::array<uint8_t, kTokenBytes>;

constexpr size_t kHelloBytes = 40;
constexpr size_t kWelcomeBytes = 8;
constexpr size_t kAskHeadBytes = 8;
constexpr size_t kAskRangeBytes = 16;
constexpr size_t kAnswerHeadBytes = 8;
/// Ranges of one ask.
constexpr size_t kAskRanges = 256;
/// Bytes of one ask.
constexpr uint64_t kAskBytes = uint64_t{8} << 20;
/// Asks that a reader is ahead.
constexpr size_t kAsksAhead = 4;

struct Hello {
  Token token{};
  uint32_t region = 0;
  uint64_t regionBytes = 0;
};

enum class Welcome : uint32_t { ok = 0, wrongToken = 1, noRegion = 2, otherSize = 3, crowded = 4 };

struct Range {
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

/// Compares in a time that does not depend on where they differ.
bool equalTokens(const Token& left, const Token& right);

std::vector<uint8_t> writeHello(const Hello& hello);
/// Of kHelloBytes bytes; nothing when they are no hello of this revision.
std::optional<Hello> readHello(std::span<const uint8_t> bytes);

std::array<uint8_t, kWelcomeBytes> writeWelcome(Welcome status);
std::optional<Welcome> readWelcome(std::span<const uint8_t> bytes);
/// Why a reader is not welcome, one sentence.
const char* welcomeReason(Welcome status);

void appendAsk(std::vector<uint8_t>& out, std::span<const Range> ranges);
/// Ranges of an ask by its head; 0 when it is none.
size_t readAskHead(std::span<const uint8_t> head);
/// One range of an ask; nothing when it does not lie within the region.
std::optional<Range> readRange(std::span<const uint8_t> bytes, uint64_t regionBytes);

std::array<uint8_t, kAnswerHeadBytes> writeAnswerHead();
bool readAnswerHead(std::span<const uint8_t> head);

}  // namespace stator::transfer
