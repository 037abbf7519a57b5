#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "text/words/sets.h"
#include "text/words/unicode.h"

/// A rule of words is one stage or several: the first cuts the text into pieces, the next cuts each of these as if it
/// were a text of its own. A stage is a type with `cut(piece, emit)`, which hands on pieces that cover the piece; most
/// find the matches of a pattern from left to right, and what lies between two is a piece as well. A pattern is a type
/// with `match(at, end)`: the end of the match that begins at `at`, which is before `end`, or `at` for none.
namespace stator::text::words {

using Bytes = const uint8_t*;

struct Piece {
  Bytes begin, end;
};

template <class Set>
inline constexpr auto kAsciiHas = [] {
  std::array<bool, 0x80> out{};
  for (uint32_t each = 0; each < out.size(); each++) out[each] = Set::has(each, classOf(each));
  return out;
}();

/// The size of the character at `at` where the set has it; 0 where not, and at the end.
template <class Set>
inline uint32_t sizeIn(Bytes at, Bytes end) {
  if (at == end) return 0;
  if (*at < 0x80) return kAsciiHas<Set>[*at] ? 1 : 0;
  const auto [codePoint, size] = decodeBeyondAscii(at, end);
  return Set::has(codePoint, classOf(codePoint)) ? size : 0;
}

/// Behind all characters from `at` that the set has.
template <class Set>
inline Bytes skip(Bytes at, Bytes end) {
  // A step that is known before the byte is read lets the processor run ahead.
  while (true) {
    while (at < end && *at < 0x80 && kAsciiHas<Set>[*at]) at++;
    const uint32_t size = at < end && *at >= 0x80 ? sizeIn<Set>(at, end) : 0;
    if (size == 0) return at;
    at += size;
  }
}

/// The same for at most so many of them.
template <class Set>
inline Bytes skip(Bytes at, Bytes end, uint32_t most) {
  for (uint32_t size; most > 0 && (size = sizeIn<Set>(at, end)) > 0; most--) at += size;
  return at;
}

inline bool isLineEnd(uint8_t byte) { return byte == '\r' || byte == '\n'; }

/// One character, up to so many, or all that follow each other.
inline constexpr uint32_t kAll = UINT32_MAX;
template <class Set, uint32_t kMost>
struct Run {
  static Bytes match(Bytes at, Bytes end) { return skip<Set>(at, end, kMost); }
  /// Where a match begins at the earliest.
  static Bytes seek(Bytes at, Bytes end) { return skip<Except<Set>>(at, end); }
};

/// So many, no less.
template <class Set, uint32_t kCount>
struct Exactly {
  static Bytes match(Bytes at, Bytes end) {
    Bytes to = at;
    for (uint32_t i = 0; i < kCount; i++) {
      const uint32_t size = sizeIn<Set>(to, end);
      if (size == 0) return at;
      to += size;
    }
    return to;
  }
  static Bytes seek(Bytes at, Bytes end) { return skip<Except<Set>>(at, end); }
};

/// All that follow each other, and one white space in front.
template <class Set>
struct SpacedRun {
  static Bytes match(Bytes at, Bytes end) {
    const Bytes from = at + sizeIn<Of<kSpace>>(at, end);
    const Bytes to = skip<Set>(from, end);
    return to == from ? at : to;
  }
};

/// The first of several patterns that matches.
template <class... Patterns>
struct First {
  static Bytes match(Bytes at, Bytes end) {
    Bytes to = at;
    (((to = Patterns::match(at, end)) != at) || ...);
    return to;
  }
};

/// The stage that finds a pattern's matches.
template <class Pattern>
struct Matches {
  template <class Emit>
  static void cut(Piece piece, Emit&& emit) {
    Bytes gap = piece.begin;
    for (Bytes at = piece.begin; at < piece.end;) {
      if constexpr (requires { Pattern::seek(at, piece.end); }) {
        at = Pattern::seek(at, piece.end);
        if (at == piece.end) break;
      }
      const Bytes to = Pattern::match(at, piece.end);
      if (to == at) {
        at += decode(at, piece.end).size;
        continue;
      }
      if (gap < at) emit(Piece{gap, at});
      emit(Piece{at, to});
      at = gap = to;
    }
    if (gap < piece.end) emit(Piece{gap, piece.end});
  }
};

/// Several stages one after the other.
template <class Stage, class... More>
struct Stages {
  template <class Emit>
  static void cut(Piece piece, Emit&& emit) {
    if constexpr (sizeof...(More) == 0) {
      Stage::cut(piece, emit);
    } else {
      Stage::cut(piece, [&](Piece each) { Stages<More...>::cut(each, emit); });
    }
  }
};

/// White space at the end of the piece, apart.
struct SpaceAtEnd {
  template <class Emit>
  static void cut(Piece piece, Emit&& emit) {
    Bytes from = piece.begin;
    for (Bytes at = piece.begin; at < piece.end;) {
      const auto [codePoint, size] = decode(at, piece.end);
      at += size;
      if (classOf(codePoint) != kSpace) from = at;
    }
    if (piece.begin < from) emit(Piece{piece.begin, from});
    if (from < piece.end) emit(Piece{from, piece.end});
  }
};

/// The end of the first group where the numbers [from, to) fall into threes, counted from their end.
inline Bytes firstOfThrees(Bytes from, Bytes to) {
  size_t count = 0;
  for (Bytes at = from; at < to; at += decode(at, to).size) count++;
  const auto rest = static_cast<uint32_t>(count % 3);
  return skip<Numbers>(from, to, rest == 0 ? 3 : rest);
}

/// Runs of numbers in threes, counted from their end. The first group keeps what stands before it; that is odd, but it
/// is how the library does it.
struct ThreesFromEnd {
  template <class Emit>
  static void cut(Piece piece, Emit&& emit) {
    Bytes begin = piece.begin;
    for (Bytes at = piece.begin; at < piece.end;) {
      at = skip<Except<Numbers>>(at, piece.end);
      const Bytes to = skip<Numbers>(at, piece.end);
      for (Bytes cut = firstOfThrees(at, to); at < to; cut = skip<Numbers>(at, to, 3)) {
        emit(Piece{begin, cut});
        begin = at = cut;
      }
    }
    if (begin < piece.end) emit(Piece{begin, piece.end});
  }
};

/// A cut before every group of three ASCII digits, counted from the end of their run; one or two digits in front of the
/// first group stay with what stands before them.
struct CutsBeforeThrees {
  template <class Emit>
  static void cut(Piece piece, Emit&& emit) {
    Bytes begin = piece.begin;
    for (Bytes at = piece.begin; at < piece.end;) {
      at = skip<Except<AsciiDigits>>(at, piece.end);
      const Bytes to = skip<AsciiDigits>(at, piece.end);
      for (at += (to - at) % 3; at < to; at += 3) {
        if (begin < at) emit(Piece{begin, at});
        begin = at;
      }
    }
    if (begin < piece.end) emit(Piece{begin, piece.end});
  }
};

/// Pieces of white space without a line end, in pieces of 512, 256, 128, 64, 32, 16, 8, 4, 2 and 1, the largest first.
struct SpacesByPowers {
  template <class Emit>
  static void cut(Piece piece, Emit&& emit) {
    if (skip<Except<LineEnds>>(piece.begin, piece.end) < piece.end || sizeIn<Of<kSpace>>(piece.begin, piece.end) == 0 ||
        skip<Of<kSpace>>(piece.begin, piece.end) < piece.end) {
      return emit(piece);
    }
    size_t count = 0;
    for (Bytes at = piece.begin; at < piece.end; at += decode(at, piece.end).size) count++;
    Bytes at = piece.begin;
    for (uint32_t power = 512; power > 0; power /= 2) {
      for (; count >= power; count -= power) {
        const Bytes to = skip<Of<kSpace>>(at, piece.end, power);
        emit(Piece{at, to});
        at = to;
      }
    }
  }
};

}  // namespace stator::text::words
