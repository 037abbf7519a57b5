#include "engine/gbnf.h"

#include <algorithm>
#include <set>
#include <stdexcept>

namespace stator {
namespace {

constexpr int kMaxDepth = 256;
/// The library's own bound on repetitions, also of nested ones.
constexpr uint64_t kMaxRepetitions = 2000;

struct Refusal : std::runtime_error {
  using std::runtime_error::runtime_error;
};

bool isDigit(char c) { return c >= '0' && c <= '9'; }
bool isWord(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || isDigit(c); }
bool isHex(char c) { return isDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

/// Recursive descent over the notation. `symbols_` counts rules as the library does, generated ones included, because
/// its bound on repetitions is made of that count.
class Checker {
 public:
  Checker(std::string_view text, const GbnfContext& context) : text_(text), context_(context) {}

  void run() {
    skip(true);
    while (!atEnd()) rule();
    if (!defined_.contains("root")) refuse("it has no rule called root");
    for (const auto& name : named_) {
      if (!defined_.contains(name)) refuse("the rule " + name + " is not defined");
    }
  }

 private:
  bool atEnd() const { return at_ >= text_.size(); }
  char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

  [[noreturn]] void refuse(const std::string& reason) const { throw Refusal(reason); }
  [[noreturn]] void expect(const std::string& what) const {
    const auto line = 1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at_), '\n');
    refuse(what + " is expected in line " + std::to_string(line));
  }

  void skip(bool newlines) {
    for (; !atEnd(); at_++) {
      const char c = peek();
      if (c == '#') {
        while (!atEnd() && peek() != '\r' && peek() != '\n') at_++;
        at_--;
      } else if (c != ' ' && c != '\t' && !(newlines && (c == '\r' || c == '\n'))) {
        return;
      }
    }
  }

  std::string name() {
    const size_t from = at_;
    while (isWord(peek())) at_++;
    if (at_ == from) expect("a name");
    const std::string found(text_.substr(from, at_ - from));
    if (named_.insert(found).second) symbols_++;
    return found;
  }

  uint64_t integer() {
    if (!isDigit(peek())) expect("a number");
    uint64_t value = 0;
    for (; isDigit(peek()); at_++) value = std::min<uint64_t>(value * 10 + static_cast<uint64_t>(peek() - '0'), 1u << 30);
    return value;
  }

  void rule() {
    defined_.insert(name());
    skip(false);
    if (text_.substr(at_, 3) != "::=") expect("::=");
    at_ += 3;
    skip(true);
    alternates(false, 0);
    if (peek() == '\r') at_++;
    if (peek() == '\n') {
      at_++;
    } else if (!atEnd() && text_[at_ - 1] != '\r') {
      expect("the end of a rule");
    }
    skip(true);
  }

  void alternates(bool nested, int depth) {
    if (depth > kMaxDepth) refuse("it nests brackets deeper than " + std::to_string(kMaxDepth));
    sequence(nested, depth);
    while (peek() == '|') {
      at_++;
      skip(true);
      sequence(nested, depth);
    }
  }

  void sequence(bool nested, int depth) {
    hasItem_ = false;
    for (;;) {
      const char c = peek();
      if (c == '*' || c == '+' || c == '?' || c == '{') {
        repetition(nested);
        continue;
      }
      if (atEnd() || !item(c, depth)) return;
      skip(nested);
    }
  }

  /// One item without what repeats it; false where none begins.
  bool item(char c, int depth) {
    uint64_t weight = 1;
    bool real = true;
    if (c == '"') {
      real = characters('"');
    } else if (c == '[') {
      real = characters(']');
    } else if (c == '<' || c == '!') {
      token();
    } else if (c == '.') {
      at_++;
    } else if (c == '(') {
      weight = group(depth);
    } else if (isWord(c)) {
      name();
    } else {
      return false;
    }
    weight_ = weight;
    hasItem_ = real;
    return true;
  }

  uint64_t group(int depth) {
    at_++;
    skip(true);
    const uint64_t before = symbols_++;
    alternates(true, depth + 1);
    if (peek() != ')') expect("a closing bracket");
    at_++;
    return std::max<uint64_t>(1, symbols_ - before);
  }

  /// A literal or a character class; false when it is empty.
  bool characters(char close) {
    at_++;
    if (close == ']' && peek() == '^') at_++;
    bool any = false;
    while (peek() != close) {
      character();
      any = true;
      if (close == ']' && peek() == '-' && peek(1) != ']') {
        at_++;
        character();
      }
    }
    at_++;
    return any;
  }

  void character() {
    if (atEnd()) refuse("it ends within a literal or a character class");
    if (peek() != '\\') return utf8();
    const char kind = peek(1);
    at_ += 2;
    const int digits = kind == 'x' ? 2 : kind == 'u' ? 4 : kind == 'U' ? 8 : 0;
    for (int i = 0; i < digits; i++, at_++) {
      if (!isHex(peek())) expect("a hexadecimal digit");
    }
    if (digits == 0 && (kind == '\0' || std::string_view("trn\\\"[]-").find(kind) == std::string_view::npos)) {
      refuse("it has an unknown escape");
    }
  }

  void utf8() {
    const auto first = static_cast<uint8_t>(peek());
    const int more = first < 0x80 ? 0 : first >= 0xf0 && first < 0xf8 ? 3 : first >= 0xe0 ? 2 : first >= 0xc2 ? 1 : -1;
    if (more < 0 || first >= 0xf8) refuse("it is not valid UTF-8");
    at_++;
    for (int i = 0; i < more; i++, at_++) {
      if ((static_cast<uint8_t>(peek()) & 0xc0) != 0x80) refuse("it is not valid UTF-8");
    }
  }

  void token() {
    if (peek() == '!') at_++;
    if (peek() != '<') expect("<");
    const size_t from = at_;
    if (peek(1) == '[') {
      at_ += 2;
      if (integer() >= static_cast<uint64_t>(context_.vocab)) refuse("it names a token beyond the vocabulary");
      if (peek() != ']' || peek(1) != '>') expect("]>");
      at_ += 2;
      return;
    }
    const size_t end = text_.find('>', at_);
    if (end == std::string_view::npos) expect(">");
    at_ = end + 1;
    const auto found = text_.substr(from, at_ - from);
    if (!context_.isToken || !context_.isToken(found)) refuse("a name in angle brackets is not one token");
  }

  void repetition(bool nested) {
    const char c = peek();
    at_++;
    skip(nested);
    uint64_t least = c == '+' ? 1 : 0;
    uint64_t most = c == '?' ? 1 : 0;
    bool bounded = c == '?';
    if (c == '{') {
      least = integer();
      skip(nested);
      most = least;
      bounded = true;
      if (peek() == ',') {
        at_++;
        skip(nested);
        bounded = isDigit(peek());
        if (bounded) most = integer();
        skip(nested);
      }
      if (peek() != '}') expect("}");
      at_++;
      skip(nested);
    }
    if (!hasItem_) expect("something to repeat");
    if (bounded && most < least) refuse("a repetition ends below its beginning");
    if (most > kMaxRepetitions) bounded = false;
    const uint64_t total = bounded && most > 0 ? most : least > 0 ? least : 1;
    if (least > kMaxRepetitions || weight_ * total > kMaxRepetitions) refuse("it repeats more than 2000 times");
    symbols_ += bounded ? most - least : 1;
    weight_ *= total;
    // Nothing is left to repeat once more when zero times is all that is allowed.
    hasItem_ = least > 0 || !bounded || most > 0;
  }

  const std::string_view text_;
  const GbnfContext& context_;
  size_t at_ = 0;
  std::set<std::string> named_, defined_;
  uint64_t symbols_ = 0;
  /// Of the last item of the sequence: whether there is one, and how many rules it stands for.
  bool hasItem_ = false;
  uint64_t weight_ = 1;
};

}  // namespace

std::string refuseGbnf(std::string_view grammar, const GbnfContext& context) {
  if (grammar.find('\0') != std::string_view::npos) return "The grammar does not parse: it contains a zero byte.";
  try {
    Checker(grammar, context).run();
    return {};
  } catch (const Refusal& refusal) {
    return std::string("The grammar does not parse: ") + refusal.what() + ".";
  }
}

}  // namespace stator
