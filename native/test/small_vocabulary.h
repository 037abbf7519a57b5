#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/vocabulary.h"

namespace stator::test {

/// Strings as a vocabulary borrows them.
class OwnedStrings {
 public:
  void add(std::string_view text) {
    starts_.push_back(static_cast<uint32_t>(bytes_.size()));
    bytes_.append(text);
    ends_.push_back(static_cast<uint32_t>(bytes_.size()));
  }
  text::Strings borrow() const {
    return {reinterpret_cast<const uint8_t*>(bytes_.data()), starts_.data(), ends_.data(), starts_.size()};
  }

 private:
  std::string bytes_;
  std::vector<uint32_t> starts_, ends_;
};

/// A vocabulary that owns what it holds, for tests.
struct SmallVocabulary {
  OwnedStrings texts, merges;
  std::vector<int32_t> types;

  void add(std::string_view text, int32_t type = 1) {
    texts.add(text);
    types.push_back(type);
  }
  text::Vocabulary of(text::Kind kind, std::string_view pre = {}) const {
    text::Vocabulary vocabulary;
    vocabulary.kind = kind;
    vocabulary.pre = pre;
    vocabulary.texts = texts.borrow();
    vocabulary.types = types.data();
    vocabulary.merges = merges.borrow();
    return vocabulary;
  }
};

}  // namespace stator::test
