#include "engine/gbnf.h"

#include <string>

#include "check.h"

namespace {

std::string refuse(const std::string& grammar) {
  return stator::refuseGbnf(grammar, {100, [](std::string_view text) { return text == "<think>"; }});
}

}  // namespace

TEST(good_grammars_pass) {
  const char* good[] = {
      "root ::= \"a\"",
      "root ::= \"a\" | \"b\" # comment\n",
      "# first\n\nroot ::= item+ \"]\"\nitem ::= [a-z_-] | [^\"\\\\\\x7F\\u0041\\U0001F600]\n",
      "root ::= (\n  \"x\" |\n  \"y\"\n)* tail?\ntail ::= .{2,5} \"z\"{3} \"w\"{0,}\r\n",
      "root ::= <[99]> !<[0]> <think>",
      "root ::= \"\"  | [\xc3\xa9] \"\xf0\x9f\x98\x80\"",
      "root ::= (\"a\"{1000}){2}",
      "root ::= \"a\"{0,1000000}",
      "root ::=\n  \"late\"",
  };
  for (const auto* each : good) {
    const auto reason = refuse(each);
    if (!reason.empty()) std::printf("  %s -> %s\n", each, reason.c_str());
    CHECK(reason.empty());
  }
}

TEST(bad_grammars_are_refused_with_a_sentence) {
  const std::string bad[] = {
      "",
      "x ::= \"a\"",
      "root \"a\"",
      "root ::= \"a",
      "root ::= [a-",
      "root ::= (\"a\"",
      "root ::= \"a\")",
      "root ::= other",
      "root ::= * \"a\"",
      "root ::= \"\"*",
      "root ::= \"a\"{5,2}",
      "root ::= \"a\"{2,0}",
      "root ::= \"a\"{x}",
      "root ::= \"a\"{2",
      "root ::= \"a\"{3000}",
      "root ::= (\"a\"{0,1500}){2}",
      "root ::= \"\\q\"",
      "root ::= \"\\x4\"",
      "root ::= \"\\",
      "root ::= <[100]>",
      "root ::= <[4294967296]>",
      "root ::= <nothing>",
      "root ::= <open",
      "root ::= !x",
      "root ::= \"\xff\"",
      "root ::= \"\xc3\"",
      std::string("root ::= \"\0\"", 12),
      "root ::= " + std::string(300, '('),
      "root ::= ~",
  };
  for (const auto& each : bad) {
    const auto reason = refuse(each);
    if (reason.empty()) std::printf("  taken: %s\n", each.c_str());
    CHECK(!reason.empty() && reason.back() == '.');
  }
}

TEST(any_bytes_are_read_within_bounds) {
  stator::test::Rng rng(21);
  const std::string alphabet = "root ::=\"a[]()<>|*+?{},.\\x41\n\r#-^!59\xc3\xa9\xf0";
  for (int round = 0; round < 20000; round++) {
    std::string text = rng.below(2) ? "root ::= " : "";
    for (uint64_t i = rng.below(40); i > 0; i--) text += alphabet[rng.below(alphabet.size())];
    refuse(text);
  }
}
