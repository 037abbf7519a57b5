#include "text/words/words.h"

#include <string>

#include "check.h"
#include "text/words/unicode.h"

using stator::test::Rng;
using stator::text::classOf;
using stator::text::decode;
using stator::text::findWordRule;

namespace {

const char* const kRules[] = {
    "",           "gpt-2",       "llama-bpe",    "qwen2",          "qwen35",    "gpt-4o",     "tekken",   "deepseek-v3",
    "spark2_5",   "deepseek-llm", "deepseek-coder", "starcoder",   "falcon",    "chameleon",  "kimi-k2",  "bloom",
    "viking",     "jais-2",      "exaone-moe",   "afmoe",          "tiny_aya",  "youtu",      "superbpe", "minicpm5",
    "seed-coder", "ufakzeka",    "laguna",       "chatglm-bpe",    "granite-embed-multi-97m"};

std::vector<uint32_t> endsOf(const char* rule, std::string_view text) {
  std::vector<uint32_t> ends;
  findWordRule(rule)->cut(text, ends);
  return ends;
}

/// The words with a bar between them.
std::string wordsOf(const char* rule, std::string_view text) {
  std::string out;
  uint32_t from = 0;
  for (const uint32_t end : endsOf(rule, text)) {
    if (from > 0) out += '|';
    out += text.substr(from, end - from);
    from = end;
  }
  return out;
}

std::string encoded(uint32_t codePoint) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | (codePoint >> shift & 0x3F)); };
  if (codePoint < 0x80) return {static_cast<char>(codePoint)};
  if (codePoint < 0x800) return {static_cast<char>(0xC0 | codePoint >> 6), tail(0)};
  if (codePoint < 0x10000) return {static_cast<char>(0xE0 | codePoint >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | codePoint >> 18), tail(12), tail(6), tail(0)};
}

/// A short text of what rules look at, and now and then of any characters.
std::string anyText(Rng& rng) {
  static const char* const bits[] = {" ",  "  ",  "\n",     "\r\n", "\t",   "'s",  "'RE",  "'l", "/",        "!",
                                     "(",  "a",   "Bc",     "DE",   "12",   "345", "word", "_",  "\xC3\xA9", "\xCC\x81",
                                     "\xE4\xB8\xAD", "\xE3\x80\x82", "\xE3\x83\xBB", "\xE3\x80\x80", "\xC2\xA0",
                                     "\xE2\x80\x99", "\xD9\xA3", "\xF0\x9F\x98\x80", "\x01", "<sentinel:1>",
                                     "IMGIMGAZ"};
  std::string out;
  for (uint64_t i = 1 + rng.below(12); i > 0; i--) {
    if (rng.below(8) > 0) {
      out += bits[rng.below(std::size(bits))];
    } else {
      out += encoded(static_cast<uint32_t>(rng.below(2) ? rng.below(0xD800) : 0xE000 + rng.below(0x102000)));
    }
  }
  return out;
}

std::string anyBytes(Rng& rng) {
  std::string out;
  for (uint64_t i = rng.below(30); i > 0; i--) out += static_cast<char>(rng.below(3) ? rng.below(256) : 0xE3);
  return out;
}

void checkCover(const char* rule, const std::string& text) {
  uint32_t from = 0;
  bool ascends = true;
  for (const uint32_t end : endsOf(rule, text)) {
    ascends = ascends && end > from;
    from = end;
  }
  CHECK(ascends && from == text.size());
}

}  // namespace

TEST(words_are_those_of_their_rule) {
  const struct {
    const char* rule;
    const char* text;
    const char* words;
  } cases[] = {
      {"gpt-2", "I'm HE'S  it's 1234!? \n\n x", "I|'m| HE|'|S| | it|'s| 1234|!?| \n\n| x"},
      {"gpt-2", "a \xE3\x80\x80 b\t", "a| \xE3\x80\x80| b|\t"},
      {"gpt-2", "caf\xC3\xA9\xCC\x81s \xD9\xA3", "caf\xC3\xA9|\xCC\x81|s| \xD9\xA3"},
      {"starcoder", "a 12b", "a| |1|2|b"},
      {"falcon", "x = 12345; (`a`)", "x| |=| |123|45|;| |(`|a|`)"},
      {"", "x`y 12345 $", "x|`|y| |123|45| |$"},
      {"llama-bpe", "HE'S (ok)!!\n\n 12345  end ", "HE|'S| (|ok|)!!\n\n| |123|45| | end| "},
      {"llama-bpe", "a \n \n  b", "a| \n \n| | b"},
      {"llama-bpe", "it\xE2\x80\x99s", "it|\xE2\x80\x99s"},
      {"jais-2", "a       b", "a|    |  | b"},
      {"minicpm5", "x 12345", "x| |123|45"},
      {"qwen2", "v12 'Tis", "v|1|2| '|Tis"},
      {"qwen2", "e\xCC\x81" "a", "e|\xCC\x81" "a"},
      {"qwen35", "e\xCC\x81" "a! \xCC\x81", "e\xCC\x81" "a|!| \xCC\x81"},
      {"ufakzeka", "Ali'nin it's", "Ali|'nin| it|'s"},
      {"ufakzeka", "'sabc", "'sabc"},
      {"seed-coder", "a!!\n\nb", "a|!!|\n\n|b"},
      {"laguna", "a \n\nb", "a| |\n\n|b"},
      {"tekken", "HelloWORLDs camelCase it's", "Hello|WORLDs| camel|Case| it|'s"},
      {"tekken", "\xC3\xA9" "ABC !\n/x", "\xC3\xA9|ABC| !\n/|x"},
      {"gpt-4o", "It's YOU'RE myHTTPServer 1234", "It's| YOU'RE| my|HTTPServer| |123|4"},
      {"granite-embed-multi-97m", "\xCC\x81" "AB \xCC\x81", "\xCC\x81|AB| \xCC\x81"},
      {"tiny_aya", "ab1234567'll", "ab|1|234|567|'ll"},
      {"tiny_aya", "  123 we'll", " | |123| we'll"},
      {"kimi-k2", "\xE4\xB8\xAD\xE6\x96\x87" "abc's 1234", "\xE4\xB8\xAD\xE6\x96\x87|abc's| |123|4"},
      {"exaone-moe", "to be or! not\n\n2 b", "to be or|!| not|\n\n|2| b"},
      {"deepseek-v3", "(see) 12345\xE4\xB8\xAD\xE3\x82\xAB x+=1\n\n",
       "(see|)| |123|45|\xE4\xB8\xAD\xE3\x82\xAB| x|+=|1|\n\n"},
      {"deepseek-v3", "\x01\x01" "a\x02\x02 ", "\x01|\x01" "a|\x02\x02| "},
      {"spark2_5", "a!\n\n  \nb", "a|!|\n|\n|  |\n|b"},
      {"deepseek-llm", "caf\xC3\xA9 it's\n\n 12\xE4\xB8\xAD  ", "caf|\xC3\xA9| it|'|s|\n|\n| |12|\xE4\xB8\xAD|  "},
      {"deepseek-coder", "if x==12:\n y", "if| x|==|1|2|:|\n| y"},
      {"bloom", "Hi, there (you)... 12", "Hi|,| there| (|you|)...| 12"},
      {"viking", "a 12.", "a| |1|2|."},
      {"chameleon", "<sentinel:12>IMGIMGABZ      a\n$=", "<|sentinel|:|1|2|>|IMGIMGABZ|    |  |a|\n|$|="},
      {"afmoe", "x 1234567 (ab", "x| |1|234|567| (|ab"},
      {"youtu", "a\xE3\x80\x82\xE3\x80\x82\xE4\xB8\xAD it's", "a|\xE3\x80\x82\xE3\x80\x82|\xE4\xB8\xAD| it's"},
      {"superbpe", "by the way 1234567 or", "by the way |1|234|567| or"},
  };
  for (const auto& each : cases) {
    const auto words = wordsOf(each.rule, each.text);
    if (words != each.words) std::printf("  %s: [%s] instead of [%s]\n", each.rule, words.c_str(), each.words);
    CHECK(words == each.words);
  }
}

TEST(names_have_rules) {
  CHECK(findWordRule("default") == findWordRule(""));
  CHECK(findWordRule("smaug-bpe")->cut == findWordRule("llama3")->cut);
  CHECK(findWordRule("llama3")->ignoreMerges && !findWordRule("smaug-bpe")->ignoreMerges);
  CHECK(findWordRule("gemma4") == nullptr);
  CHECK(findWordRule("whitespace") == nullptr);
  CHECK(findWordRule("no-such-rule") == nullptr);
}

TEST(words_cover_any_bytes) {
  Rng rng(5);
  for (int round = 0; round < 300; round++) {
    const auto text = round % 2 == 0 ? anyBytes(rng) : anyText(rng);
    for (const auto* rule : kRules) {
      checkCover(rule, text);
      for (size_t at = 1; at < text.size(); at++) findWordRule(rule)->maySplit(text, at);
    }
  }
}

TEST(where_a_text_may_be_split_it_is_cut_whatever_follows) {
  Rng rng(6);
  for (const auto* name : kRules) {
    const auto* rule = findWordRule(name);
    int splits = 0;
    for (int round = 0; round < 300; round++) {
      const auto text = round % 8 == 0 ? anyBytes(rng) : anyText(rng);
      for (size_t at = 1; at < text.size(); at++) {
        if (!rule->maySplit(text, at)) continue;
        splits++;
        const auto rest = text.substr(at, decode(text, at).size) + anyText(rng);
        auto apart = endsOf(name, text.substr(0, at));
        for (const uint32_t end : endsOf(name, rest)) apart.push_back(static_cast<uint32_t>(at) + end);
        if (endsOf(name, text.substr(0, at) + rest) == apart) continue;
        std::printf("  %s: [%s] and [%s]\n", name, text.substr(0, at).c_str(), rest.c_str());
        CHECK(!"the halves are the whole");
      }
    }
    CHECK(splits > 10);
  }
}

TEST(prose_may_be_split_before_its_spaces) {
  for (const auto* name : {"", "gpt-2", "llama-bpe", "qwen2", "gpt-4o", "deepseek-v3", "deepseek-llm", "bloom"}) {
    CHECK(findWordRule(name)->maySplit("word word", 4));
    CHECK(!findWordRule(name)->maySplit("word  word", 5));
    CHECK(!findWordRule(name)->maySplit("word", 2));
  }
  CHECK(findWordRule("qwen2")->maySplit("line\n\nnext", 6));
  CHECK(!findWordRule("gpt-4o")->maySplit("line\n/", 5));
  CHECK(!findWordRule("gpt-4o")->maySplit("it's", 2));
  CHECK(!findWordRule("exaone-moe")->maySplit("to be", 2));
}

TEST(long_runs_take_linear_time) {
  const std::string runs[] = {" ", "\n", "a", "A", "7", "'", " \n", "aA",
                              "\xC3\xA9" "A", "A\xCC\x81", "\xE3\x80\x80", "\xFF"};
  for (const auto& run : runs) {
    std::string text;
    while (text.size() < 50'000) text += run;
    for (const auto* rule : kRules) {
      checkCover(rule, text);
      checkCover(rule, text + "b");
    }
  }
}

TEST(characters_have_the_classes_of_unicode) {
  using namespace stator::text;
  const struct {
    uint32_t codePoint;
    uint8_t wanted;
  } cases[] = {{'a', kLetter},      {'7', kNumber},      {'_', kPunctuation}, {'$', kSymbol},    {'\n', kSpace},
               {0x85, kSpace},      {0xA0, kSpace},      {0x3000, kSpace},    {0x200B, kControl}, {0, kControl},
               {0x301, kMark},      {0xB2, kNumber},     {0x2019, kPunctuation}, {0x378, kUnassigned},
               {0xD800, kControl},  {0x1F600, kSymbol},  {0x2EBF0, kLetter},  {0x10FFFF, kUnassigned},
               {0x110000, kUnassigned}, {UINT32_MAX, kUnassigned}};
  for (const auto& each : cases) CHECK(classOf(each.codePoint) == each.wanted);
  CHECK(lowercaseOf('Q') == 'q' && lowercaseOf(0x130) == 'i' && lowercaseOf(0x212A) == 'k');
  CHECK(lowercaseOf('q') == 'q' && lowercaseOf(0x101) == 0x101);
  CHECK(lowercaseOf(0x10400) == 0x10428 && lowercaseOf(0x4E2D) == 0x4E2D && lowercaseOf(UINT32_MAX) == UINT32_MAX);
  CHECK(decompositionStart(0xE9) == 'e' && decompositionStart(0x1EAD) == 'a' && decompositionStart(0xD55C) == 0x1112);
  CHECK(decompositionStart('e') == 'e' && decompositionStart(0x4E2D) == 0x4E2D);
}

TEST(only_well_formed_characters_are_decoded) {
  for (uint32_t each = 0; each < 0x110000; each += each < 0x3000 ? 1 : 97) {
    const auto text = encoded(each);
    const auto [codePoint, size] = decode(text, 0);
    const bool surrogate = each >= 0xD800 && each < 0xE000;
    CHECK(surrogate ? codePoint == stator::text::kReplacement && size == 1 : codePoint == each && size == text.size());
  }
  for (const auto* bad : {"\x80", "\xC1\x81", "\xE0\x9F\xBF", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80",
                          "\xF8\x88\x80\x80", "\xC3", "\xE4\xB8", "\xE4\xB8z", "\xF0\x9F\x98"}) {
    CHECK(decode(bad, 0).codePoint == stator::text::kReplacement && decode(bad, 0).size == 1);
  }
}
