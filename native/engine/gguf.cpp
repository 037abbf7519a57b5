#include "engine/gguf.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string_view>
#include <unordered_set>

#include "engine/failure.h"

namespace stator {
namespace {

constexpr uint64_t kMaxEntries = 1 << 20;
constexpr uint64_t kMaxLayers = 512;
constexpr uint32_t kMaxDimensions = 4;

enum Type : uint32_t { u32 = 4, text = 8, array = 9, u64 = 10 };
/// Bytes of the fixed-size types by number; 0 for text and arrays.
constexpr size_t kWidths[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

struct Refusal : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Header {
 public:
  Header(std::span<const uint8_t> bytes, GgufKind kind) : bytes_(bytes), kind_(kind) {}

  void check() {
    if (bytes_.size() < 24 || std::memcmp(bytes_.data(), "GGUF", 4) != 0) throw Refusal("it is not a GGUF file");
    at_ = 4;
    if (const auto version = read<uint32_t>(); version != 2 && version != 3) {
      throw Refusal("its version is " + std::to_string(version) + ", not 2 or 3");
    }
    const auto tensors = read<uint64_t>();
    const auto values = read<uint64_t>();
    if (tensors > kMaxEntries || values > kMaxEntries) throw Refusal("it declares more entries than any model has");
    for (uint64_t i = 0; i < values; i++) value();
    for (uint64_t i = 0; i < tensors; i++) tensor();
    if (kind_ != GgufKind::adapter) checkTokens();
    if (kind_ == GgufKind::model) checkLayers();
  }

 private:
  const uint8_t* take(uint64_t size) {
    if (size > bytes_.size() - at_) throw Refusal("it ends within its header");
    at_ += size;
    return bytes_.data() + at_ - size;
  }

  template <typename T>
  T read() {
    T out;
    std::memcpy(&out, take(sizeof(T)), sizeof(T));
    return out;
  }

  std::string_view string() {
    const auto size = read<uint64_t>();
    return {reinterpret_cast<const char*>(take(size)), static_cast<size_t>(size)};
  }

  void value() {
    const auto key = string();
    const auto type = read<uint32_t>();
    if (type == text) {
      texts_[key] = string();
    } else if (type == array) {
      elements(key);
    } else {
      scalar(key, type);
    }
  }

  size_t widthOf(uint32_t type) const {
    if (type >= std::size(kWidths)) throw Refusal("it holds a value of an unknown type");
    return kWidths[type];
  }

  void scalar(std::string_view key, uint32_t type) {
    const size_t width = widthOf(type);
    const auto* from = take(width);
    if (type != u32 && type != u64) return;
    uint64_t number = 0;
    std::memcpy(&number, from, width);
    numbers_[key] = number;
  }

  void elements(std::string_view key) {
    const auto type = read<uint32_t>();
    const auto count = read<uint64_t>();
    const size_t width = widthOf(type);
    if (width > 0) {
      if (count > (bytes_.size() - at_) / width) throw Refusal("it ends within its header");
      take(count * width);
      return;
    }
    if (type == array) throw Refusal("it holds an array of arrays");
    const bool tokens = key == "tokenizer.ggml.tokens";
    std::unordered_set<std::string_view> seen;
    for (uint64_t i = 0; i < count; i++) {
      const auto each = string();
      if (tokens && !seen.insert(each).second) throw Refusal("two of its tokens are equal");
    }
    if (tokens) tokenCount_ = count;
  }

  void tensor() {
    string();
    const auto dimensions = read<uint32_t>();
    if (dimensions > kMaxDimensions) throw Refusal("a tensor has more than four dimensions");
    take(dimensions * sizeof(uint64_t) + sizeof(uint32_t));
    if (read<uint64_t>() > bytes_.size()) throw Refusal("a tensor lies beyond its end");
  }

  void checkTokens() const {
    const auto model = texts_.find("tokenizer.ggml.model");
    if (model == texts_.end() || model->second == "no_vocab" || model->second == "none" || tokenCount_ == 0) {
      throw Refusal("it has no vocabulary");
    }
  }

  void checkLayers() const {
    const auto architecture = texts_.find("general.architecture");
    if (architecture == texts_.end()) throw Refusal("it does not name its architecture");
    const auto prefix = std::string(architecture->second);
    const uint64_t layers = numberOf(prefix + ".block_count");
    if (layers == 0 || layers > kMaxLayers) throw Refusal("its number of layers is not one from 1 to 512");
    if (numberOf(prefix + ".nextn_predict_layers") > layers) throw Refusal("it predicts with more layers than it has");
  }

  uint64_t numberOf(const std::string& key) const {
    const auto found = numbers_.find(key);
    return found == numbers_.end() ? 0 : found->second;
  }

  const std::span<const uint8_t> bytes_;
  const GgufKind kind_;
  uint64_t at_ = 0;
  std::map<std::string_view, std::string_view> texts_;
  std::map<std::string_view, uint64_t> numbers_;
  uint64_t tokenCount_ = 0;
};

/// A file mapped for reading.
class Mapping {
 public:
  explicit Mapping(const std::string& path) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat about {};
    if (file < 0 || fstat(file, &about) != 0 || S_ISDIR(about.st_mode)) {
      const std::string reason = file >= 0 && S_ISDIR(about.st_mode) ? "it is a folder" : std::strerror(errno);
      if (file >= 0) ::close(file);
      throw Failure(Code::fileMissing, "Cannot read " + path + ": " + reason + ".");
    }
    size_ = static_cast<size_t>(about.st_size);
    if (size_ > 0) data_ = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
    ::close(file);
    if (data_ == MAP_FAILED) throw Failure(Code::fileMissing, "Cannot map " + path + ": " + std::strerror(errno) + ".");
  }
  ~Mapping() {
    if (data_ != nullptr) munmap(data_, size_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  std::span<const uint8_t> bytes() const { return {static_cast<const uint8_t*>(data_), size_}; }

 private:
  void* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace

std::string refuseGguf(std::span<const uint8_t> bytes, GgufKind kind) {
  try {
    Header(bytes, kind).check();
    return {};
  } catch (const Refusal& refusal) {
    return refusal.what();
  }
}

void checkGguf(const std::string& path, GgufKind kind) {
  const Mapping file(path);
  const auto reason = refuseGguf(file.bytes(), kind);
  if (!reason.empty()) throw Failure(Code::fileCorrupt, "The model file " + path + " is refused: " + reason + ".");
}

}  // namespace stator
