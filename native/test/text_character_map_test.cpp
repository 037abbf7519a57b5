#include "text/encoders/character_map.h"

#include <cstring>
#include <map>
#include <string>

#include "check.h"
#include "engine/failure.h"
#include "small_map.h"

namespace {

using stator::test::SmallMap;
using stator::text::CharacterMap;

bool refused(const std::string& file) {
  try {
    CharacterMap map(file);
  } catch (const stator::Failure& failure) {
    return failure.code == stator::Code::invalidArgument;
  }
  return false;
}

std::string replaced(const CharacterMap& map, std::string_view text) {
  const auto match = map.match(text, 0);
  return std::to_string(match.keyBytes) + ":" + std::string(match.replacement);
}

}  // namespace

TEST(character_map_finds_the_longest_key) {
  const CharacterMap map(SmallMap().add("a", "1").add("abc", "23").add("\u00E9", "").add("\u00E9x", "y").write());
  CHECK(replaced(map, "abd") == "1:1");
  CHECK(replaced(map, "abcd") == "3:23");
  CHECK(replaced(map, "\u00E9") == "2:");
  CHECK(replaced(map, "\u00E9x") == "3:y");
  CHECK(replaced(map, "b") == "0:");
  CHECK(replaced(map, std::string("\0", 1)) == "0:");
  CHECK(map.begins('a') && !map.begins('b'));
  CHECK(map.touchesNarrow('a') && map.narrowInside());
}

TEST(character_map_that_is_empty_replaces_nothing) {
  const CharacterMap map("");
  CHECK(replaced(map, "abc") == "0:");
  CHECK(!map.begins('a') && !map.narrowInside());
}

TEST(character_map_is_a_plain_map) {
  stator::test::Rng rng(1);
  const auto random = [&](size_t most) {
    std::string text;
    for (size_t left = 1 + rng.below(most); left > 0; left--) text += static_cast<char>('a' + rng.below(3));
    return text;
  };
  for (int round = 0; round < 200; round++) {
    std::map<std::string, std::string> plain;
    SmallMap small;
    for (size_t left = 1 + rng.below(20); left > 0; left--) {
      const std::string key = random(5), text = random(5);
      plain[key] = text;
      small.add(key, text);
    }
    const CharacterMap map(small.write());
    for (int each = 0; each < 50; each++) {
      const std::string text = random(8);
      std::string want = "0:";
      for (size_t size = 1; size <= text.size(); size++) {
        const auto found = plain.find(text.substr(0, size));
        if (found != plain.end()) want = std::to_string(size) + ":" + found->second;
      }
      CHECK(replaced(map, text) == want);
    }
  }
}

TEST(character_map_refuses_what_points_astray) {
  const std::string good = SmallMap().add("a", "b").write();
  CHECK(!refused(good));
  CHECK(refused("abc"));
  CHECK(refused(good.substr(0, 40)));
  CHECK(refused(good.substr(0, good.size() - 1)));
  CHECK(refused(SmallMap().add("a", std::string(100, 'b')).write()));
  CHECK(refused(SmallMap().add("a", "\xFF").write()));
  CHECK(refused(SmallMap().add(std::string(100, 'a'), "b").write()));
  // A place whose way leads back to itself.
  std::string loop = good;
  const auto put = [&](size_t unit, uint32_t value) { std::memcpy(loop.data() + 4 + unit * 4, &value, sizeof value); };
  put(0, 'b' << 10);
  put('b' ^ 'a', 'a' | ('a' << 10));
  CHECK(refused(loop));
}

TEST(character_map_reads_any_bytes) {
  stator::test::Rng rng(2);
  size_t taken = 0;
  for (int round = 0; round < 3000; round++) {
    std::string file = SmallMap().add("a", "b").add("ab", "c").add("\u00E9", "e").write();
    for (size_t left = rng.below(8); left > 0; left--) file[rng.below(file.size())] = static_cast<char>(rng.below(256));
    if (rng.below(4) == 0) file.resize(rng.below(file.size()));
    if (refused(file)) continue;
    taken++;
    const CharacterMap map(file);
    for (int each = 0; each < 10; each++) {
      std::string text(1 + rng.below(10), 'a');
      for (char& byte : text) byte = static_cast<char>(rng.below(2) == 0 ? 'a' + rng.below(2) : rng.below(256));
      const auto match = map.match(text, 0);
      CHECK(match.keyBytes <= text.size() && match.replacement.size() <= match.keyBytes * CharacterMap::kMostGrowth);
    }
  }
  CHECK(taken > 100);
}
