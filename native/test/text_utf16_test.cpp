#include "text/utf16.h"

#include <algorithm>
#include <string>
#include <vector>

#include "check.h"

namespace {

using stator::test::Rng;
using stator::text::bytePlaces;
using stator::text::Content;
using stator::text::countUnits;
using stator::text::Transcoder;

/// A text in both forms, with every place between two characters in both.
struct Both {
  std::u16string units;
  std::string bytes;
  std::vector<uint32_t> unitPlaces{0};
  std::vector<uint32_t> bytePlaces{0};
};

Both randomText(Rng& rng) {
  static const char16_t* const kUnits[] = {u"a", u"\u00e9", u"\u4e2d", u"\U0001f642"};
  static const char* const kBytes[] = {"a", "\xC3\xA9", "\xE4\xB8\xAD", "\xF0\x9F\x99\x82"};
  Both text;
  const bool isPlain = rng.below(2) == 0;
  for (size_t count = rng.below(400); count > 0; count--) {
    const size_t kind = isPlain && rng.below(60) != 0 ? 0 : rng.below(4);
    text.units += kUnits[kind];
    text.bytes += kBytes[kind];
    text.unitPlaces.push_back(static_cast<uint32_t>(text.units.size()));
    text.bytePlaces.push_back(static_cast<uint32_t>(text.bytes.size()));
  }
  return text;
}

std::string transcode(Transcoder& transcoder, const std::u16string& units, const std::vector<uint32_t>& places = {},
                      Content* content = nullptr) {
  Content own;
  std::copy(units.begin(), units.end(), transcoder.units(units.size()));
  return std::string(transcoder.utf8(units.size(), places.data(), places.size(), content == nullptr ? own : *content));
}

}  // namespace

TEST(utf16_becomes_utf8_with_its_places) {
  Rng rng(11);
  Transcoder transcoder;
  for (int round = 0; round < 500; round++) {
    const auto text = randomText(rng);
    Content content;
    CHECK(transcode(transcoder, text.units, text.unitPlaces, &content) == text.bytes);
    CHECK(content == text.bytePlaces);
    CHECK(bytePlaces(text.bytes, text.unitPlaces.data(), text.unitPlaces.size()) == text.bytePlaces);
    CHECK(countUnits(text.bytes) == text.units.size());
    if (round % 100 == 0) transcoder.trim();
  }
}

TEST(lone_surrogates_are_replaced) {
  Transcoder transcoder;
  CHECK(transcode(transcoder, std::u16string{0xD83D}) == "\xEF\xBF\xBD");
  CHECK(transcode(transcoder, std::u16string{'a', 0xDE42, 'b'}) == "a\xEF\xBF\xBD" "b");
  CHECK(transcode(transcoder, std::u16string{0xD83D, 0xD83D, 0xDE42}) == "\xEF\xBF\xBD\xF0\x9F\x99\x82");
}

TEST(a_place_inside_a_character_is_behind_it) {
  Transcoder transcoder;
  Content content;
  transcode(transcoder, u"\U0001f642x", {1, 3, 9}, &content);
  CHECK((content == Content{4, 5, 5}));
  const std::vector<uint32_t> units{1, 3, 9};
  CHECK((bytePlaces("\xF0\x9F\x99\x82x", units.data(), units.size()) == Content{4, 5, 5}));
}
