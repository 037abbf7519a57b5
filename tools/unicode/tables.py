"""Writes native/text/words/unicode_tables.h: what the encoders of text know about characters.

  python3.13 tools/unicode/tables.py            writes the file
  python3.13 tools/unicode/tables.py --check    fails when the file is not what would be written

The edition of Unicode is that of the engine's library, 15.1, which is also that of Python 3.13's `unicodedata`; another
Python is refused. Nothing is downloaded, and no build runs this: the file is checked in.
"""

import pathlib
import sys
import unicodedata

EDITION = "15.1.0"
CODE_POINTS = 0x110000
BLOCK = 128
TARGET = pathlib.Path(__file__).parents[2] / "native" / "text" / "words" / "unicode_tables.h"
# Numbers of the classes: bit positions in CharacterClass of native/text/words/unicode.h.
CLASSES = {"L": 0, "N": 1, "M": 2, "P": 3, "S": 4, "C": 5, "Cn": 6}
SPACE = 7
# White_Space outside of the categories of separators.
CONTROLS_THAT_ARE_SPACE = {0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x85}
HANGUL = range(0xAC00, 0xD7A4)


def class_of(code_point):
    category = unicodedata.category(chr(code_point))
    if category[0] == "Z" or code_point in CONTROLS_THAT_ARE_SPACE:
        return SPACE
    return CLASSES.get(category, CLASSES.get(category[0]))


def lowercase_of(code_point):
    """The simple mapping; it differs from the first character of the full one nowhere."""
    return ord(chr(code_point).lower()[0])


def decomposed_start(code_point):
    return ord(unicodedata.normalize("NFD", chr(code_point))[0])


def blocks_of(classes):
    """The blocks, each once, and for every BLOCK code points the number of theirs."""
    blocks, index = {}, []
    for start in range(0, CODE_POINTS, BLOCK):
        index.append(blocks.setdefault("".join(map(str, classes[start : start + BLOCK])), len(blocks)))
    assert len(blocks) <= 256
    return list(blocks), index


def runs_of_lowercase():
    """(first, last, step, difference): every step-th from first to last has its lowercase at that difference."""
    runs = []
    for code_point in range(CODE_POINTS):
        difference = lowercase_of(code_point) - code_point
        if difference == 0:
            continue
        if runs:
            first, last, step, known = runs[-1]
            gap = code_point - last
            if known == difference and (gap == step or (first == last and gap == 2)):
                runs[-1] = (first, code_point, gap, known)
                continue
        runs.append((code_point, code_point, 1, difference))
    return runs


def runs_of_decomposition():
    """(first, last, to): all of them begin with the same character when they are decomposed. Without Hangul."""
    runs = []
    for code_point in range(CODE_POINTS):
        start = decomposed_start(code_point)
        if start == code_point or code_point in HANGUL:
            continue
        if runs and runs[-1][1:] == (code_point - 1, start):
            runs[-1] = (runs[-1][0], code_point, start)
        else:
            runs.append((code_point, code_point, start))
    return runs


def lines_of(items, width=116):
    line, lines = "", []
    for item in items:
        if len(line) + len(item) + 2 > width:
            lines.append(line.rstrip())
            line = ""
        line += item + ", "
    return ["    " + each for each in lines + [line.rstrip()]]


def text_of_tables():
    blocks, index = blocks_of([class_of(each) for each in range(CODE_POINTS)])
    lower = [f"{{0x{a:X}, 0x{b:X}, {step}, {by}}}" for a, b, step, by in runs_of_lowercase()]
    decomposed = [f"{{0x{a:X}, 0x{b:X}, 0x{to:X}}}" for a, b, to in runs_of_decomposition()]
    lines = [
        f"// Written by tools/unicode/tables.py from Unicode {EDITION}; do not edit.",
        "#pragma once",
        "#include <cstdint>",
        "",
        "namespace stator::text::tables {",
        "",
        f"inline constexpr uint32_t kBlock = {BLOCK};",
        "",
        "/// Number of its block for every kBlock code points.",
        f"inline constexpr uint8_t kBlockOf[{len(index)}] = {{",
        *lines_of(map(str, index)),
        "};",
        "",
        "/// The class of every code point of a block, as a digit: a bit position in CharacterClass.",
        f"inline constexpr char kClasses[{len(blocks)}][kBlock + 1] = {{",
        *[f'    "{each[:64]}"\n    "{each[64:]}",' for each in blocks],
        "};",
        "",
        "/// Every step-th code point from first to last has its lowercase at `difference`.",
        "struct Lowercase {",
        "  uint32_t first, last, step;",
        "  int32_t difference;",
        "};",
        f"inline constexpr Lowercase kLowercase[{len(lower)}] = {{",
        *lines_of(lower),
        "};",
        "",
        "/// The canonical decompositions of first to last begin with `to`; Hangul syllables are not among them.",
        "struct Decomposition {",
        "  uint32_t first, last, to;",
        "};",
        f"inline constexpr Decomposition kDecompositions[{len(decomposed)}] = {{",
        *lines_of(decomposed),
        "};",
        "",
        "}  // namespace stator::text::tables",
    ]
    return "\n".join(lines) + "\n"


def main():
    if unicodedata.unidata_version != EDITION:
        sys.exit(f"the tables are made from Unicode {EDITION}, this Python has {unicodedata.unidata_version}")
    text = text_of_tables()
    if sys.argv[1:] == ["--check"]:
        if TARGET.read_text(encoding="utf-8") != text:
            sys.exit(f"{TARGET.name} is stale: run tools/unicode/tables.py")
        return
    TARGET.write_text(text, encoding="utf-8")


main()
