#include "engine/utf8.h"

#include <string>

#include "check.h"

namespace {

using namespace stator;
using stator::test::Rng;

std::string bytesOf(uint32_t point, int length) {
  if (length == 1) return {static_cast<char>(point)};
  std::string out;
  for (int i = length - 1; i > 0; i--, point >>= 6) out.insert(out.begin(), static_cast<char>(0x80 | (point & 0x3f)));
  out.insert(out.begin(), static_cast<char>((0xf00 >> length & 0xff) | point));
  return out;
}

int lengthOf(uint32_t point) { return point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4; }

}  // namespace

TEST(characters_are_those_of_unicode_in_their_one_form) {
  for (int length = 1; length <= 4; length++) {
    const uint32_t most = length == 1 ? 0x7f : length == 2 ? 0x7ff : length == 3 ? 0xffff : 0x1fffff;
    for (uint32_t point = 0; point <= most; point++) {
      const bool surrogate = point >= 0xd800 && point <= 0xdfff;
      const bool good = lengthOf(point) == length && point <= 0x10ffff && !surrogate;
      if ((utf8After(Utf8::start, bytesOf(point, length)) == Utf8::start) == good) continue;
      std::printf("  U+%04X in %d bytes\n", point, length);
      CHECK(false);
    }
  }
}

TEST(text_may_be_cut_anywhere) {
  const std::string text = "a\xc3\xa9\xe0\xa4\x85\xed\x9f\xbf\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf!";
  for (size_t at = 0; at <= text.size(); at++) {
    const auto before = utf8After(Utf8::start, text.substr(0, at));
    CHECK(before != Utf8::broken);
    CHECK(utf8After(before, text.substr(at)) == Utf8::start);
    CHECK((statesBefore(text.substr(at)) & only(before)) != 0);
  }
  for (const auto* bad : {"\x80", "\xc1", "\xe0\x9f", "\xed\xa0", "\xf0\x8f", "\xf4\x90", "\xf5", "\xff", "\xc3" "a"}) {
    CHECK(utf8After(Utf8::start, bad) == Utf8::broken);
  }
  CHECK(utf8After(Utf8::broken, "a") == Utf8::broken);
}

TEST(states_before_are_those_that_do_not_break) {
  CHECK(statesBefore("") == 0xff && statesBefore("a") == only(Utf8::start) && statesBefore("\xff") == 0);
  Rng rng(3);
  for (int round = 0; round < 20000; round++) {
    std::string bytes;
    for (uint64_t i = rng.below(6); i > 0; i--) bytes += static_cast<char>(rng.below(4) ? 0x80 + rng.below(128) : 'a');
    const auto states = statesBefore(bytes);
    for (unsigned state = 0; state < 8; state++) {
      const bool good = utf8After(static_cast<Utf8>(state), bytes) != Utf8::broken;
      CHECK(((states >> state) & 1) == good);
    }
  }
}
