#include "engine/library_encoder.h"

#include <utility>

namespace stator {
namespace {

class LibraryLane : public text::Lane {
 public:
  explicit LibraryLane(const Model& model) : model_(model) {}

  void encode(std::string_view text, bool, std::vector<uint32_t>& out) override {
    const auto tokens = tokenize(model_, text.data(), text.size(), false, false);
    out.insert(out.end(), tokens.begin(), tokens.end());
  }
  size_t memoryBytes() const override { return sizeof *this; }

 private:
  const Model& model_;
};

class LibraryEncoder : public text::PlainEncoder {
 public:
  explicit LibraryEncoder(std::shared_ptr<Model> model) : model_(std::move(model)) {}

  std::unique_ptr<text::Lane> lane(size_t) const override { return std::make_unique<LibraryLane>(*model_); }
  /// The library tells nothing of where it cuts.
  bool maySplit(std::string_view, size_t) const override { return false; }
  /// The library does not tell what it holds.
  size_t memoryBytes() const override { return sizeof *this; }

 private:
  const std::shared_ptr<Model> model_;
};

}  // namespace

std::unique_ptr<text::PlainEncoder> makeLibraryEncoder(std::shared_ptr<Model> model) {
  return std::make_unique<LibraryEncoder>(std::move(model));
}

}  // namespace stator
