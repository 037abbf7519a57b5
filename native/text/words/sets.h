#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "text/words/unicode.h"

namespace stator::text::words {

/// Characters that a rule of words tells from others: a type with `has(codePoint, class)`. The rules were written for a
/// regex engine that sees all white space beyond ASCII as one character, so no set of code points holds any of it.
template <uint8_t kClasses>
struct Of {
  static constexpr bool has(uint32_t, uint8_t each) { return (each & kClasses) != 0; }
};

template <class Set>
struct Except {
  static constexpr bool has(uint32_t codePoint, uint8_t each) { return !Set::has(codePoint, each); }
};

struct Range {
  uint32_t first, last;
};

template <size_t kSize>
using Ranges = std::array<Range, kSize>;

/// The code points of ranges that ascend.
template <auto kRanges>
struct Among {
  static constexpr bool has(uint32_t codePoint, uint8_t each) {
    size_t low = 0;
    size_t high = kRanges.size();
    while (low < high) {
      const size_t middle = (low + high) / 2;
      if (kRanges[middle].last < codePoint) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low < kRanges.size() && kRanges[low].first <= codePoint && (each & kSpace) == 0;
  }
};

template <class... Sets>
struct Either {
  static constexpr bool has(uint32_t codePoint, uint8_t each) { return (Sets::has(codePoint, each) || ...); }
};

/// One ASCII character.
template <char kOne>
struct Only {
  static constexpr bool has(uint32_t codePoint, uint8_t) { return codePoint == static_cast<uint32_t>(kOne); }
};

/// ASCII characters of the classes.
template <uint8_t kClasses>
struct AsciiOf {
  static constexpr bool has(uint32_t codePoint, uint8_t each) { return codePoint < 0x80 && (each & kClasses) != 0; }
};

/// Characters of the classes without the ASCII ones from kFirst to kLast.
template <uint8_t kClasses, char kFirst, char kLast>
struct OfWithout {
  static constexpr bool has(uint32_t codePoint, uint8_t each) {
    return (each & kClasses) != 0 && (codePoint < kFirst || codePoint > kLast);
  }
};

using Letters = Of<kLetter>;
using Numbers = Of<kNumber>;
using AsciiDigits = AsciiOf<kNumber>;
using AsciiLetters = AsciiOf<kLetter>;
using LineEnds = Either<Only<'\r'>, Only<'\n'>>;

/// The default rule's punctuation forgets the backtick.
struct AsciiSymbolsButBacktick {
  static constexpr bool has(uint32_t codePoint, uint8_t each) {
    return codePoint != '`' && AsciiOf<kSymbol>::has(codePoint, each);
  }
};

/// Ideographs by their blocks, as Kimi's rule has them: some code points of those are no letters.
inline constexpr Ranges<8> kIdeographs{{{0x3400, 0x4DBF},
                                        {0x4E00, 0x9FFF},
                                        {0xF900, 0xFAFF},
                                        {0x20000, 0x2A6DF},
                                        {0x2A700, 0x2B73F},
                                        {0x2B740, 0x2CEAF},
                                        {0x2CEB0, 0x2EBEF},
                                        {0x2F800, 0x2FA1F}}};
using Ideographs = Among<kIdeographs>;
struct OtherLetters {
  static constexpr bool has(uint32_t codePoint, uint8_t each) {
    return Letters::has(codePoint, each) && !Ideographs::has(codePoint, each);
  }
};

/// Ideographs and kana, of DeepSeek-V3's and other rules.
inline constexpr Ranges<2> kIdeographsAndKana{{{0x3040, 0x30FF}, {0x4E00, 0x9FA5}}};
using IdeographsAndKana = Among<kIdeographsAndKana>;

/// All of the first DeepSeek models' rules from U+0800 to the ideographs, and Hangul with what follows it.
inline constexpr Ranges<2> kBeyondEurope{{{0x800, 0x9FA5}, {0xAC00, 0xD7FF}}};
using BeyondEurope = Among<kBeyondEurope>;

/// East and South-East Asian scripts of AFMoE's rule, where one range reaches over all from ideographs to U+FAFF.
inline constexpr Ranges<9> kAsianScripts{{{0xE40, 0xEFF},
                                          {0x1000, 0x109F},
                                          {0x1100, 0x11FF},
                                          {0x1780, 0x17FF},
                                          {0x2F00, 0x2FDF},
                                          {0x3040, 0x30FF},
                                          {0x3400, 0x4DBF},
                                          {0x4E00, 0xFAFF},
                                          {0xFF65, 0xFF9F}}};
using AsianScripts = Among<kAsianScripts>;

/// Four sets of Youtu's rule.
inline constexpr Ranges<2> kHangul{{{0x3131, 0x318E}, {0xAC00, 0xD7A3}}};
inline constexpr Ranges<1> kBopomofo{{{0x3105, 0x312F}}};
inline constexpr Ranges<9> kWidePunctuation{{{0x2014, 0x2014},
                                             {0x2018, 0x2019},
                                             {0x201C, 0x201D},
                                             {0x2026, 0x2026},
                                             {0x3001, 0x303F},
                                             {0xFE30, 0xFE4F},
                                             {0xFF01, 0xFF01},
                                             {0xFF0C, 0xFF0C},
                                             {0xFF1A, 0xFF1B}}};
using Hangul = Among<kHangul>;
using Bopomofo = Among<kBopomofo>;
using WidePunctuation = Among<kWidePunctuation>;

/// What BLOOM's rule and its kin leave out of words, beside white space.
inline constexpr Ranges<13> kBloomBreaks{{{'!', '!'},
                                          {'(', ')'},
                                          {',', ','},
                                          {'.', '.'},
                                          {'?', '?'},
                                          {'|', '|'},
                                          {0x60C, 0x60C},
                                          {0x6D4, 0x6D4},
                                          {0x964, 0x964},
                                          {0x2026, 0x2026},
                                          {0x3001, 0x3001},
                                          {0x3002, 0x3002},
                                          {0xFF0C, 0xFF0C}}};
using BloomWordCharacters = Except<Either<Among<kBloomBreaks>, Of<kSpace>>>;

/// Punctuation of the first DeepSeek LLM's rule: its range from the colon to the tilde takes ASCII letters along.
inline constexpr Ranges<6> kDeepseekPunctuation{
    {{0x21, 0x2F}, {0x3A, 0x7E}, {0x2018, 0x201F}, {0x3000, 0x3002}, {0xFF01, 0xFF0F}, {0xFF1A, 0xFF5E}}};
using DeepseekPunctuation = Among<kDeepseekPunctuation>;

/// Letters of the same rule: those with case, of an old edition of Unicode.
inline constexpr Ranges<84> kDeepseekLetters{{
    {0x41, 0x5A},       {0x61, 0x7A},       {0xB5, 0xB5},       {0xC0, 0xD6},       {0xD8, 0xF6},
    {0xF8, 0x1BA},      {0x1BC, 0x1BF},     {0x1C4, 0x293},     {0x295, 0x2AF},     {0x370, 0x373},
    {0x376, 0x377},     {0x37B, 0x37D},     {0x37F, 0x37F},     {0x386, 0x386},     {0x388, 0x38A},
    {0x38C, 0x38C},     {0x38E, 0x3A1},     {0x3A3, 0x3F5},     {0x3F7, 0x481},     {0x48A, 0x52F},
    {0x531, 0x556},     {0x10A0, 0x10C5},   {0x13A0, 0x13F5},   {0x13F8, 0x13FD},   {0x1C90, 0x1CBA},
    {0x1CBD, 0x1CBF},   {0x1D00, 0x1D2B},   {0x1D6B, 0x1D77},   {0x1D79, 0x1D9A},   {0x1E00, 0x1F15},
    {0x1F18, 0x1F1D},   {0x1F20, 0x1F45},   {0x1F48, 0x1F4D},   {0x1F50, 0x1F57},   {0x1F59, 0x1F59},
    {0x1F5B, 0x1F5B},   {0x1F5D, 0x1F5D},   {0x1F5F, 0x1F7D},   {0x1F80, 0x1FB4},   {0x1FB6, 0x1FBC},
    {0x1FBE, 0x1FBE},   {0x1FC2, 0x1FC4},   {0x1FC6, 0x1FCC},   {0x1FD0, 0x1FD3},   {0x1FD6, 0x1FDB},
    {0x1FE0, 0x1FEC},   {0x1FF2, 0x1FF4},   {0x1FF6, 0x1FFC},   {0x2102, 0x2102},   {0x2107, 0x2107},
    {0x210A, 0x2113},   {0x2115, 0x2115},   {0x2119, 0x211D},   {0x2124, 0x2124},   {0x2126, 0x2126},
    {0x2128, 0x2128},   {0x212A, 0x212D},   {0x212F, 0x2134},   {0x2139, 0x2139},   {0x213C, 0x213F},
    {0x2145, 0x2149},   {0x214E, 0x214E},   {0x2183, 0x2184},   {0x2C00, 0x2C7B},   {0x2C7E, 0x2CE4},
    {0x2CEB, 0x2CEE},   {0x2CF2, 0x2CF3},   {0xA640, 0xA66D},   {0xA680, 0xA69B},   {0xA722, 0xA76F},
    {0xA771, 0xA787},   {0xA78B, 0xA78E},   {0xAB70, 0xABBF},   {0xFB00, 0xFB06},   {0xFB13, 0xFB17},
    {0xFF21, 0xFF3A},   {0xFF41, 0xFF5A},   {0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB},
    {0x10C80, 0x10CB2}, {0x10CC0, 0x10CF2}, {0x118A0, 0x118DF}, {0x1E900, 0x1E943},
}};
using DeepseekLetters = Among<kDeepseekLetters>;

}  // namespace stator::text::words
