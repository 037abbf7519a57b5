#include "text/special.h"

#include <algorithm>
#include <string>
#include <vector>

#include "check.h"

namespace {

using stator::test::Rng;
using stator::text::Content;
using stator::text::Specials;
using stator::text::SpecialToken;

bool isSpace(char byte) { return byte == ' ' || byte == '\n'; }

bool touches(const Content& content, size_t start, size_t end) {
  for (size_t at = 0; at < content.size(); at += 2) {
    if (content[at] < end && content[at + 1] > start) return true;
  }
  return false;
}

/// `#id` for a special token, the text itself for a plain part: token by token, as the library does it.
std::vector<std::string> expected(const std::vector<SpecialToken>& tokens, const std::string& text,
                                  const Content& content) {
  struct Piece {
    size_t start, end;
    const SpecialToken* token;
  };
  std::vector<Piece> pieces;
  if (!text.empty()) pieces.push_back({0, text.size(), nullptr});
  for (const auto& token : tokens) {
    std::vector<Piece> next;
    for (auto piece : pieces) {
      for (size_t at = piece.start; piece.token == nullptr && at + token.text.size() <= piece.end; at++) {
        if (text.compare(at, token.text.size(), token.text) != 0) continue;
        const size_t end = at + token.text.size();
        if (token.ofTemplate && touches(content, at, end)) continue;
        size_t left = at;
        while (token.stripsLeft && left > piece.start && isSpace(text[left - 1])) left--;
        if (left > piece.start) next.push_back({piece.start, left, nullptr});
        next.push_back({at, end, &token});
        piece.start = end;
        while (token.stripsRight && piece.start < piece.end && isSpace(text[piece.start])) piece.start++;
        at = piece.start - 1;
      }
      if (piece.token != nullptr || piece.start < piece.end) next.push_back(piece);
    }
    pieces = next;
  }
  std::vector<std::string> out;
  for (const auto& [start, end, token] : pieces) {
    out.push_back(token == nullptr ? text.substr(start, end - start) : "#" + std::to_string(token->id));
  }
  return out;
}

std::vector<std::string> cut(const Specials& specials, const std::string& text, const Content& content = {}) {
  std::vector<std::string> out;
  for (const auto& part : specials.cut(text, 0, content)) {
    const bool isPlain = part.special == nullptr;
    out.push_back(isPlain ? text.substr(part.start, part.end - part.start) : "#" + std::to_string(part.special->id));
  }
  return out;
}

std::vector<SpecialToken> inOrder(std::vector<SpecialToken> tokens) {
  std::stable_sort(tokens.begin(), tokens.end(),
                   [](const auto& left, const auto& right) { return left.text.size() > right.text.size(); });
  return tokens;
}

struct Case {
  std::vector<SpecialToken> tokens;
  std::string text;
  Content content;
};

/// Few letters, so that tokens overlap; strips, content and white space by chance.
Case randomCase(Rng& rng) {
  const auto word = [&](size_t size) {
    std::string out;
    while (out.size() < size) out += "ab<\xC3 \n"[rng.below(6)];
    return out;
  };
  Case made;
  const bool strips = rng.below(3) == 0;
  std::vector<std::string> seen;
  for (size_t count = rng.below(8); made.tokens.size() < count;) {
    const auto text = word(1 + rng.below(5));
    if (std::find(seen.begin(), seen.end(), text) != seen.end()) continue;
    seen.push_back(text);
    const bool left = strips && rng.below(2) == 0;
    const bool right = strips && rng.below(2) == 0;
    made.tokens.push_back({static_cast<uint32_t>(made.tokens.size()), text, rng.below(2) == 0, left, right});
  }
  made.tokens = inOrder(made.tokens);
  made.text = word(rng.below(60));
  for (size_t at = rng.below(4); at <= made.text.size() && made.content.size() < 8; at += rng.below(12)) {
    made.content.push_back(static_cast<uint32_t>(at));
  }
  if (made.content.size() % 2 == 1) made.content.pop_back();
  return made;
}

std::vector<SpecialToken> plainTokens(const std::vector<std::string>& texts) {
  std::vector<SpecialToken> tokens;
  for (const auto& text : texts) tokens.push_back({static_cast<uint32_t>(tokens.size()), text, true, false, false});
  return inOrder(tokens);
}

}  // namespace

TEST(special_tokens_cut_text) {
  const Specials specials(plainTokens({"<a>", "<b>"}));
  CHECK(cut(specials, "").empty());
  CHECK((cut(specials, "x<a><b>y<<a> <b") == std::vector<std::string>{"x", "#0", "#1", "y<", "#0", " <b"}));
  CHECK((cut(specials, "<a><a>", {1, 2}) == std::vector<std::string>{"<a>", "#0"}));
}

TEST(special_tokens_are_found_longest_first) {
  const Specials specials(plainTokens({"xab", "abcd"}));
  CHECK((cut(specials, "xabcd xab") == std::vector<std::string>{"x", "#1", " ", "#0"}));
  CHECK((cut(specials, "xabcd", {4, 5}) == std::vector<std::string>{"#0", "cd"}));
}

TEST(special_tokens_of_runs_take_a_long_run) {
  std::vector<std::string> runs;
  for (size_t size = 2; size < 32; size++) runs.emplace_back(size, ' ');
  CHECK(cut(Specials(plainTokens(runs)), std::string(200000, ' ')).size() == (200000 + 30) / 31);
}

TEST(special_tokens_are_the_token_by_token_search) {
  Rng rng(7);
  for (int round = 0; round < 6000; round++) {
    const auto [tokens, text, content] = randomCase(rng);
    CHECK(cut(Specials(tokens), text, content) == expected(tokens, text, content));
  }
}

TEST(special_tokens_do_not_reach_over_a_split) {
  Rng rng(8);
  size_t splits = 0;
  for (int round = 0; round < 6000; round++) {
    const auto [tokens, text, content] = randomCase(rng);
    const Specials specials(tokens);
    if (text.empty()) continue;
    const size_t at = 1 + rng.below(text.size());
    if (!specials.maySplit(text, at)) continue;
    const auto left = text.substr(0, at);
    const auto right = text.substr(at);
    auto sides = cut(specials, left);
    // A token at the end of the left side may eat white space of the right one; who splits there asks for that.
    const auto parts = specials.cut(left, 0, {});
    if (!parts.empty() && parts.back().end == at && parts.back().special != nullptr && parts.back().special->stripsRight)
      continue;
    if (parts.empty() || parts.back().end != at) continue;
    const bool leftPlain = parts.back().special == nullptr;
    auto rest = cut(specials, right);
    const auto restParts = specials.cut(right, 0, {});
    // White space at the start of the right side goes where a token before it, or behind it, eats it: skip those.
    if (!restParts.empty() && restParts.front().start != 0) continue;
    splits++;
    if (leftPlain && !restParts.empty() && restParts.front().special == nullptr) {
      sides.back() += rest.front();
      rest.erase(rest.begin());
    }
    sides.insert(sides.end(), rest.begin(), rest.end());
    CHECK(sides == cut(specials, text));
  }
  CHECK(splits > 300);
}
