#pragma once
#include <string_view>

#include "text/words/stages.h"

/// The patterns that most vocabularies share, as one description each of what they differ in.
namespace stator::text::words {

inline bool startsWith(Bytes at, Bytes end, std::string_view wanted) {
  return std::string_view(reinterpret_cast<const char*>(at), static_cast<size_t>(end - at)).starts_with(wanted);
}

/// Size of an English ending at `at`, which is before `end`: 's 't 'm 'd 're 've 'll, in any case of its letters or in
/// small ones only; 0 for none.
template <bool kAnyCase>
inline uint32_t endingSize(Bytes at, Bytes end) {
  if (*at != '\'' || end - at < 2) return 0;
  const auto letter = [&](int which) -> uint8_t {
    const uint8_t byte = at[which];
    return kAnyCase && byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
  };
  const uint8_t first = letter(1);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if (end - at < 3) return 0;
  const uint8_t second = letter(2);
  return (second == 'e' && (first == 'r' || first == 'v')) || (first == 'l' && second == 'l') ? 3 : 0;
}

/// The word of white space that begins at `at`: all of the run but its last character where something follows, so that
/// this one goes to what follows; all where nothing follows, or where it is one character. `at` where there is none.
inline Bytes spaces(Bytes at, Bytes end) {
  Bytes last = at;
  Bytes to = at;
  while (const uint32_t size = sizeIn<Of<kSpace>>(to, end)) {
    last = to;
    to += size;
  }
  return to == end || last == at ? to : last;
}

/// The same; but where the run has line ends, the word reaches behind the last of them.
inline Bytes spacesOrLines(Bytes at, Bytes end) {
  Bytes line = at;
  Bytes last = at;
  Bytes to = at;
  while (const uint32_t size = sizeIn<Of<kSpace>>(to, end)) {
    if (isLineEnd(*to)) line = to + 1;
    last = to;
    to += size;
  }
  if (line != at) return line;
  return to == end || last == at ? to : last;
}

/// GPT-2's: endings in small letters; letters, numbers or others with a space in front.
struct Gpt2 {
  static Bytes match(Bytes at, Bytes end) {
    if (const uint32_t ending = endingSize<false>(at, end)) return at + ending;
    const Bytes from = at + (*at == ' ');
    if (const uint32_t size = sizeIn<Letters>(from, end)) return skip<Letters>(from + size, end);
    if (const uint32_t size = sizeIn<Numbers>(from, end)) return skip<Numbers>(from + size, end);
    const Bytes others = skip<Except<Of<kSpace | kLetter | kNumber>>>(from, end);
    return others > from ? others : spaces(at, end);
  }
};

enum class Endings : uint8_t {
  none,
  apart,   ///< an English ending is a word
  joined,  ///< it belongs to the letters before it
};

enum class Tail : uint8_t {
  none,
  lines,           ///< line ends behind punctuation belong to it
  linesOrSlashes,  ///< line ends and slashes
  oneLine,         ///< one line end
};

/// What such rules differ in beside their words of letters.
struct Shape {
  Endings endings = Endings::apart;
  /// The most numbers in a word.
  uint32_t numbers = 1;
  /// Behind punctuation and all other characters that are no letters, numbers or spaces.
  Tail tail = Tail::lines;
  /// Such others leave marks out.
  bool marksApart = false;
};

template <Tail kTail>
inline Bytes skipTail(Bytes at, Bytes end) {
  if constexpr (kTail == Tail::lines) return skip<LineEnds>(at, end);
  if constexpr (kTail == Tail::linesOrSlashes) return skip<Either<LineEnds, Only<'/'>>>(at, end);
  if constexpr (kTail == Tail::oneLine) return skip<LineEnds>(at, end, 1);
  return at;
}

/// A word, with one of the leads in front of it where it stands behind one.
template <class Leads, class Word>
struct Led {
  static Bytes match(Bytes at, Bytes end) {
    if (const uint32_t lead = sizeIn<Leads>(at, end)) {
      const Bytes to = Word::match(at + lead, end);
      if (to > at + lead) return to;
    }
    return Word::match(at, end);
  }
};
template <class Word>
using LedWord = Led<Except<Either<LineEnds, Of<kLetter | kNumber>>>, Word>;

template <uint8_t kClasses>
using LedLetters = LedWord<Run<Of<kClasses>, kAll>>;

/// Capitals and then at least one small letter, where all letters beyond ASCII are both: as a matcher that gives back
/// what it took to find the small one, it ends behind the last that is both where no small letter follows the capitals.
template <uint8_t kClasses>
struct SmallEnded {
  static Bytes match(Bytes at, Bytes end) {
    Bytes both = at;
    Bytes to = at;
    while (const uint32_t size = sizeIn<OfWithout<kClasses, 'a', 'z'>>(to, end)) {
      to += size;
      if (size > 1) both = to;
    }
    const Bytes small = skip<OfWithout<kClasses, 'A', 'Z'>>(to, end);
    return small > to ? small : both;
  }
};

/// Words that end where capitals begin.
template <uint8_t kClasses>
using LedCasedLetters = First<LedWord<SmallEnded<kClasses>>, LedWord<Run<OfWithout<kClasses, 'a', 'z'>, kAll>>>;

/// Words of letters with their marks, and single spaces between such.
struct JoinedWords {
  static Bytes match(Bytes at, Bytes end) {
    for (Bytes to = at;;) {
      const Bytes from = to + (to > at && to < end && *to == ' ');
      const uint32_t size = sizeIn<Letters>(from, end);
      if (size == 0) return to;
      to = skip<Of<kMark>>(from + size, end);
    }
  }
};

/// GPT-4's and what came after it: words of letters by `Words`; numbers; others with a space in front; white space.
template <class Words, Shape kShape>
struct Modern {
  using Others = Except<Of<kShape.marksApart ? kSpace | kLetter | kNumber | kMark : kSpace | kLetter | kNumber>>;

  static Bytes match(Bytes at, Bytes end) {
    if constexpr (kShape.endings == Endings::apart) {
      if (const uint32_t ending = endingSize<true>(at, end)) return at + ending;
    }
    if (const Bytes to = Words::match(at, end); to > at) {
      if constexpr (kShape.endings == Endings::joined) return to == end ? to : to + endingSize<true>(to, end);
      return to;
    }
    if (const Bytes to = skip<Numbers>(at, end, kShape.numbers); to > at) return to;
    const Bytes from = at + (*at == ' ');
    if (const Bytes to = skip<Others>(from, end); to > from) return skipTail<kShape.tail>(to, end);
    return spacesOrLines(at, end);
  }
};

/// DeepSeek-V3's, behind the stages that take numbers and ideographs apart: a sign of ASCII with ASCII letters behind
/// it; letters; signs with a space in front; white space. It leaves gaps at all others.
template <Tail kTail, bool kLinesApart>
struct DeepseekV3 {
  using Signs = Of<kPunctuation | kSymbol>;
  using Leads = Except<Either<LineEnds, Of<kLetter | kPunctuation | kSymbol>>>;

  static Bytes match(Bytes at, Bytes end) {
    if (sizeIn<AsciiOf<kPunctuation | kSymbol>>(at, end) > 0) {
      if (const Bytes to = skip<AsciiLetters>(at + 1, end); to > at + 1) return to;
    }
    if (const Bytes to = Led<Leads, Run<Of<kLetter | kMark>, kAll>>::match(at, end); to > at) return to;
    const Bytes from = at + (*at == ' ');
    if (const Bytes to = skip<Signs>(from, end); to > from) return skipTail<kTail>(to, end);
    if constexpr (!kLinesApart) return spacesOrLines(at, end);
    return isLineEnd(*at) ? at + 1 : spaces(at, end);
  }
};

/// BLOOM's and its kin: what no break is, with a space in front. It leaves gaps at breaks.
struct BloomWord {
  static Bytes match(Bytes at, Bytes end) {
    const Bytes from = at + (*at == ' ');
    const Bytes to = skip<BloomWordCharacters>(from, end);
    return to > from ? to : at;
  }
};

/// Chameleon's three: tokens for images that stand in text, and blanks in twos and fours.
struct Sentinel {
  static Bytes match(Bytes at, Bytes end) {
    constexpr std::string_view kHead = "<sentinel:";
    if (!startsWith(at, end, kHead)) return at;
    const Bytes digits = at + kHead.size();
    const Bytes to = skip<AsciiDigits>(digits, end);
    return to > digits && to < end && *to == '>' ? to + 1 : at;
  }
};

struct ImageLetters {
  static Bytes match(Bytes at, Bytes end) {
    constexpr std::string_view kHead = "IMGIMG";
    if (!startsWith(at, end, kHead)) return at;
    const Bytes letters = at + kHead.size();
    Bytes to = letters;
    while (to < end && to - letters < 4 && *to >= 'A' && *to <= 'I') to++;
    return to > letters && to < end && *to == 'Z' ? to + 1 : at;
  }
};

struct Blanks {
  static Bytes match(Bytes at, Bytes end) {
    if (*at == '\t' || *at == '\n') return at + 1;
    if (startsWith(at, end, "    ")) return at + 4;
    return startsWith(at, end, "  ") ? at + 2 : at;
  }
};

}  // namespace stator::text::words
