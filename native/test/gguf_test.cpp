#include "engine/gguf.h"

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "check.h"
#include "engine/failure.h"

namespace {

using stator::GgufKind;

/// Puts a header together, one field after another.
struct Builder {
  std::vector<uint8_t> bytes;

  template <typename T>
  Builder& add(T value) {
    const auto* from = reinterpret_cast<const uint8_t*>(&value);
    bytes.insert(bytes.end(), from, from + sizeof(T));
    return *this;
  }
  Builder& text(const std::string& value) {
    add<uint64_t>(value.size());
    bytes.insert(bytes.end(), value.begin(), value.end());
    return *this;
  }
};

Builder head(uint64_t tensors, uint64_t values) {
  Builder out;
  out.bytes = {'G', 'G', 'U', 'F'};
  out.add<uint32_t>(3).add<uint64_t>(tensors).add<uint64_t>(values);
  return out;
}

std::vector<uint8_t> model(uint32_t layers, const std::vector<std::string>& tokens) {
  auto out = head(1, 4);
  out.text("general.architecture").add<uint32_t>(8).text("toy");
  out.text("toy.block_count").add<uint32_t>(4).add<uint32_t>(layers);
  out.text("tokenizer.ggml.model").add<uint32_t>(8).text("gpt2");
  out.text("tokenizer.ggml.tokens").add<uint32_t>(9).add<uint32_t>(8).add<uint64_t>(tokens.size());
  for (const auto& token : tokens) out.text(token);
  out.text("weight").add<uint32_t>(2).add<uint64_t>(4).add<uint64_t>(4).add<uint32_t>(0).add<uint64_t>(0);
  return out.bytes;
}

bool taken(const std::vector<uint8_t>& bytes, GgufKind kind = GgufKind::model) {
  return stator::refuseGguf(bytes, kind).empty();
}

}  // namespace

TEST(a_sound_header_is_taken) {
  CHECK(taken(model(4, {"a", "b"})));
  CHECK(taken(model(0, {"a", "b"}), GgufKind::vocabulary));
  CHECK(taken(model(0, {}), GgufKind::adapter));
}

TEST(what_the_library_would_abort_for_is_refused) {
  CHECK(!taken(model(0, {"a", "b"})));
  CHECK(!taken(model(513, {"a", "b"})));
  CHECK(!taken(model(4, {"a", "a"})));
  CHECK(!taken(model(4, {}), GgufKind::vocabulary));
  CHECK(!taken(head(0, 0).bytes));
  CHECK(!taken(head(0, uint64_t{1} << 60).bytes, GgufKind::adapter));
}

TEST(a_cut_or_changed_header_is_read_within_bounds) {
  const auto good = model(4, {"a", "b", "longer token"});
  for (size_t size = 0; size < good.size(); size++) {
    const std::vector<uint8_t> cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size));
    CHECK(!taken(cut));
  }
  stator::test::Rng rng(31);
  for (int round = 0; round < 20000; round++) {
    std::vector<uint8_t> bad(good);
    for (uint64_t k = 0; k <= rng.below(3); k++) {
      const size_t at = 4 + rng.below(bad.size() - 4);
      bad[at] = rng.below(2) ? 0xff : static_cast<uint8_t>(rng.next());
    }
    taken(bad, static_cast<GgufKind>(rng.below(3)));
  }
}

TEST(files_that_cannot_be_read_say_so) {
  for (const char* path : {"/nowhere/model.gguf", "/tmp"}) {
    try {
      stator::checkGguf(path, GgufKind::model);
      CHECK(false);
    } catch (const stator::Failure& failure) {
      CHECK(failure.code == stator::Code::fileMissing);
    }
  }
}
