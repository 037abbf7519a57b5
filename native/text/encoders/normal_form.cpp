#include "text/encoders/normal_form.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "text/encoders/space_mark.h"
#include "text/pieces/character_table.h"
#include "text/pieces/merge_reader.h"

namespace stator::text {
namespace {

constexpr int32_t kUserDefined = 4;
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// The texts of the user-defined tokens, which text is compared with as it is.
std::vector<std::string> userDefinedOf(const Vocabulary& vocabulary) {
  std::vector<std::string> found;
  std::string room;
  for (uint32_t id = 0; id < vocabulary.texts.size; id++) {
    if (vocabulary.types[id] == kUserDefined) found.emplace_back(textOf(vocabulary, id, room));
  }
  return found;
}

PieceTrie trieOf(const std::vector<std::string>& texts) {
  std::vector<std::pair<std::string_view, uint32_t>> pieces;
  for (const auto& text : texts) pieces.emplace_back(text, 0);
  return PieceTrie(std::move(pieces));
}

}  // namespace

/// Puts spaces where they are due.
class NormalForm::Writer {
 public:
  Writer(const NormalForm& form, bool fresh, std::string& out)
      : out_(out), merge_(form.removeExtraSpaces_), prefix_(form.addSpacePrefix_ && fresh), inWord_(!fresh) {}

  /// Text without spaces that is not empty. A mark in it is part of a word.
  void word(std::string_view text) {
    if (!inWord_) {
      inWord_ = true;
      if (prefix_ || merge_) out_.push_back(' ');
      prefix_ = false;
    }
    unmark(text, out_);
  }

  void space() {
    inWord_ = false;
    if (!merge_) out_.push_back(' ');
  }

  void any(std::string_view text) {
    while (!text.empty()) {
      const size_t end = std::min(text.find(' '), text.size());
      if (end == 0) {
        space();
        text.remove_prefix(1);
      } else {
        word(text.substr(0, end));
        text.remove_prefix(end);
      }
    }
  }

 private:
  std::string& out_;
  const bool merge_;
  bool prefix_;
  bool inWord_;
};

NormalForm::NormalForm(const Vocabulary& vocabulary)
    : addSpacePrefix_(vocabulary.addSpacePrefix),
      removeExtraSpaces_(vocabulary.removeExtraSpaces),
      map_(vocabulary.characterMap),
      userDefined_(trieOf(userDefinedOf(vocabulary))) {
  splits_ = !map_.narrowInside() && !map_.begins(' ');
  for (const auto& text : userDefinedOf(vocabulary)) splits_ = splits_ && text.find(' ') == std::string::npos;
  for (uint32_t byte = 0; byte < 256; byte++) {
    const bool user = userDefined_.child(PieceTrie::kRoot, static_cast<char>(byte)) != kNone;
    if (user || byte >= 0x80 || byte == ' ' || map_.touchesNarrow(static_cast<uint8_t>(byte))) {
      ways_[byte] = Way::look;
    } else {
      ways_[byte] = map_.begins(static_cast<uint8_t>(byte)) ? Way::copyByNarrow : Way::copy;
    }
  }
}

size_t NormalForm::copiedBytes(std::string_view text, size_t at) const {
  const size_t begin = at;
  for (; at < text.size(); at++) {
    const Way way = ways_[static_cast<uint8_t>(text[at])];
    if (way == Way::look) break;
    if (way == Way::copyByNarrow && at + 1 < text.size() && static_cast<uint8_t>(text[at + 1]) >= 0x80) break;
  }
  return at - begin;
}

// The library takes as much as leads on towards some user-defined token, whether one ends there or not.
size_t NormalForm::userDefinedBytes(std::string_view text, size_t at) const {
  const size_t begin = at;
  for (uint32_t node = PieceTrie::kRoot; at < text.size(); at++) {
    node = userDefined_.child(node, text[at]);
    if (node == kNone) break;
  }
  return at - begin;
}

bool NormalForm::write(std::string_view text, bool fresh, std::string& out) const {
  out.clear();
  Writer writer(*this, fresh, out);
  bool whole = true;
  // Whether a character ends before `at`.
  const auto isBorder = [&](size_t at) { return at == text.size() || (static_cast<uint8_t>(text[at]) & 0xC0) != 0x80; };
  for (size_t at = 0; at < text.size();) {
    if (const size_t copied = copiedBytes(text, at); copied > 0) {
      writer.word(text.substr(at, copied));
      at += copied;
    } else if (const size_t user = userDefinedBytes(text, at); user > 0) {
      writer.any(text.substr(at, user));
      at += user;
      whole = whole && isBorder(at);
    } else if (const auto [keyBytes, replacement] = map_.match(text, at); keyBytes > 0) {
      writer.any(replacement);
      at += keyBytes;
      whole = whole && isBorder(at);
    } else if (const auto [point, size] = readCharacter(text.substr(at)); point == ' ') {
      writer.space();
      at++;
    } else if (point == kNone) {
      writer.word(kReplacement);
      at++;
    } else {
      writer.word(text.substr(at, size));
      at += size;
    }
  }
  return whole;
}

}  // namespace stator::text
