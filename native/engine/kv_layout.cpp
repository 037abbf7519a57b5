#include "engine/kv_layout.h"

#include <cstring>
#include <numeric>
#include <utility>

#include "engine/failure.h"

namespace stator {
namespace {

constexpr uint32_t kMagic = 0xaf143cd8;
constexpr size_t kHeadBytes = 8;
constexpr size_t kCellBytes = 12;
constexpr size_t kLayerHeadBytes = 12;
constexpr size_t kCacheHeadBytes = 16;  // streams, cells, transposed, layers
constexpr uint32_t kMaxLayers = 4096;
constexpr uint64_t kMaxRowBytes = 1 << 24;

/// Reads within bounds: after the first miss everything reads as zero and `ok` stays false.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> data) : data_(data) {}

  template <typename T>
  T read() {
    T value{};
    if (const auto* from = take(sizeof(T))) std::memcpy(&value, from, sizeof(T));
    return value;
  }

  const uint8_t* take(size_t size) {
    if (size > data_.size() - at_) ok_ = false;
    if (!ok_) return nullptr;
    at_ += size;
    return data_.data() + at_ - size;
  }

  bool ok() const { return ok_; }
  bool atEnd() const { return ok_ && at_ == data_.size(); }

 private:
  std::span<const uint8_t> data_;
  size_t at_ = 0;
  bool ok_ = true;
};

/// Reads one half (keys or values) of the layers of a one-token cache.
bool readHalf(Reader& in, std::vector<KvLayer>& layers, bool keys) {
  for (auto& layer : layers) {
    const auto type = in.read<int32_t>();
    const auto row = in.read<uint64_t>();
    if (!in.ok() || row == 0 || row > kMaxRowBytes || in.take(row) == nullptr) return false;
    (keys ? layer.keyType : layer.valueType) = type;
    (keys ? layer.keyRowBytes : layer.valueRowBytes) = row;
  }
  return true;
}

/// Skips the counts of further streams, all of which are empty.
bool skipEmpty(Reader& in, uint32_t streams) {
  for (uint32_t i = 1; i < streams; i++) {
    if (in.read<uint32_t>() != 0) return false;
  }
  return in.ok();
}

/// Reads caches until the end. A cache keeps values or does not; which one only the rest of the bytes tells.
bool readCaches(Reader in, uint32_t streams, std::vector<std::vector<KvLayer>>& caches) {
  if (in.atEnd()) return !caches.empty();
  if (caches.size() == 2 || in.read<uint32_t>() != streams || in.read<uint32_t>() != 1) return false;
  in.take(kCellBytes);
  const auto transposed = in.read<uint32_t>();
  const auto count = in.read<uint32_t>();
  if (!in.ok() || transposed != 0 || count == 0 || count > kMaxLayers) return false;
  std::vector<KvLayer> layers(count);
  if (!readHalf(in, layers, true)) return false;
  Reader withValues = in;
  auto full = layers;
  if (readHalf(withValues, full, false) && skipEmpty(withValues, streams)) {
    caches.push_back(std::move(full));
    if (readCaches(withValues, streams, caches)) return true;
    caches.pop_back();
  }
  if (!skipEmpty(in, streams)) return false;
  caches.push_back(std::move(layers));
  if (readCaches(in, streams, caches)) return true;
  caches.pop_back();
  return false;
}

struct Rows {
  int32_t type;
  size_t bytes;
};

/// The halves of a cache in the order of the library form: all keys, then all values that exist.
template <typename Visit>
bool eachHalf(const std::vector<KvLayer>& layers, Visit visit) {
  for (const auto& layer : layers) {
    if (!visit(Rows{layer.keyType, layer.keyRowBytes}, layer, true)) return false;
  }
  for (const auto& layer : layers) {
    if (layer.valueRowBytes > 0 && !visit(Rows{layer.valueType, layer.valueRowBytes}, layer, false)) return false;
  }
  return true;
}

/// Where each layer's keys begin in the canonical form of `tokens` tokens; its values follow.
std::vector<size_t> canonicalStarts(const std::vector<KvLayer>& layers, size_t tokens, size_t start) {
  std::vector<size_t> starts;
  for (const auto& layer : layers) {
    starts.push_back(start);
    start += tokens * (layer.keyRowBytes + layer.valueRowBytes);
  }
  return starts;
}

size_t cacheTokenBytes(const std::vector<KvLayer>& layers) {
  return std::accumulate(layers.begin(), layers.end(), size_t{0}, [](size_t sum, const KvLayer& layer) {
    return sum + layer.keyRowBytes + layer.valueRowBytes;
  });
}

/// Reads the cells of a cache: `order[i]` is the token (from 0) whose rows come i-th. False unless they are exactly
/// p0 .. p0 + tokens - 1.
bool readCells(Reader& in, int32_t p0, size_t tokens, std::vector<size_t>& order) {
  if (in.read<uint32_t>() != tokens) return false;
  std::vector<bool> seen(tokens, false);
  order.clear();
  for (size_t i = 0; i < tokens; i++) {
    const int64_t token = int64_t{in.read<int32_t>()} - p0;
    const auto sequences = in.read<uint32_t>();
    in.read<int32_t>();
    if (!in.ok() || sequences != 1 || token < 0 || token >= static_cast<int64_t>(tokens)) return false;
    if (seen[static_cast<size_t>(token)]) return false;
    seen[static_cast<size_t>(token)] = true;
    order.push_back(static_cast<size_t>(token));
  }
  return true;
}

/// Fills memory that is as long as all that comes.
class Writer {
 public:
  explicit Writer(std::span<uint8_t> out) : out_(out) {}
  void add(const void* from, size_t size) {
    if (size > out_.size() - at_) throw Failure(Code::internal, "A form is longer than its memory.");
    std::memcpy(out_.data() + at_, from, size);
    at_ += size;
  }

 private:
  std::span<uint8_t> out_;
  size_t at_ = 0;
};

/// Grows with what comes.
class Builder {
 public:
  void add(const void* from, size_t size) {
    const auto* bytes = static_cast<const uint8_t*>(from);
    out.insert(out.end(), bytes, bytes + size);
  }
  std::vector<uint8_t> out;
};

template <typename T, typename Out>
void append(Out& out, T value) {
  out.add(&value, sizeof(T));
}

/// What stands before the rows of a cache: cells for positions p0 .. and the number of layers.
template <typename Out>
void appendCells(Out& out, int32_t p0, size_t tokens, size_t layers) {
  append<uint32_t>(out, static_cast<uint32_t>(tokens));
  for (size_t i = 0; i < tokens; i++) {
    append<int32_t>(out, p0 + static_cast<int32_t>(i));
    append<uint32_t>(out, 1);
    append<int32_t>(out, 0);
  }
  append<uint32_t>(out, 0);
  append<uint32_t>(out, static_cast<uint32_t>(layers));
}

/// The counts of further streams, all of which are empty.
template <typename Out>
void appendEmpty(Out& out, uint32_t streams) {
  for (uint32_t i = 1; i < streams; i++) append<uint32_t>(out, 0);
}

/// Visits every half of the row form, cut at the ends of blocks of some bytes, with its place in its block: (row form
/// offset, block, offset in the canonical form of the block, length).
template <typename Visit>
void eachRun(const KvLayout& layout, size_t blockBytes, size_t blocks, Visit visit) {
  const size_t tokens = blockBytes / layout.tokenBytes();
  size_t at = 0;
  size_t start = 0;
  for (const auto& layers : layout.caches) {
    const auto starts = canonicalStarts(layers, tokens, start);
    eachHalf(layers, [&](Rows rows, const KvLayer& layer, bool keys) {
      const auto index = static_cast<size_t>(&layer - layers.data());
      for (size_t block = 0; block < blocks; block++) {
        visit(at, block, starts[index] + (keys ? 0 : tokens * layer.keyRowBytes), tokens * rows.bytes);
        at += tokens * rows.bytes;
      }
      return true;
    });
    start += tokens * cacheTokenBytes(layers);
  }
}

}  // namespace

size_t KvLayout::tokenBytes() const {
  size_t sum = 0;
  for (const auto& layers : caches) sum += cacheTokenBytes(layers);
  return sum;
}

size_t KvLayout::blobBytes(size_t tokens) const {
  size_t sum = kHeadBytes + tokens * tokenBytes();
  for (const auto& layers : caches) {
    sum += kCacheHeadBytes + tokens * kCellBytes + (streams - 1) * sizeof(uint32_t);
    eachHalf(layers, [&](Rows, const KvLayer&, bool) { return (sum += kLayerHeadBytes, true); });
  }
  return sum;
}

KvLayout discoverLayout(std::span<const uint8_t> blob, uint32_t streams) {
  KvLayout layout;
  layout.streams = streams;
  Reader in(blob);
  const auto magic = in.read<uint32_t>();
  in.read<int32_t>();
  if (!in.ok() || magic != kMagic || !readCaches(in, streams, layout.caches)) {
    layout.caches.clear();
    layout.reason = "This model's state is not kept as one key and one value row per token and layer.";
  }
  return layout;
}

bool toCanonical(const KvLayout& layout, std::span<const uint8_t> blob, int32_t p0, int32_t p1,
                 std::span<uint8_t> out) {
  if (p1 <= p0) return false;
  const auto tokens = static_cast<size_t>(p1 - p0);
  if (blob.size() != layout.blobBytes(tokens) || out.size() != tokens * layout.tokenBytes()) return false;
  Reader in(blob);
  if (in.read<uint32_t>() != kMagic) return false;
  in.read<int32_t>();
  std::vector<size_t> order;
  size_t start = 0;
  for (const auto& layers : layout.caches) {
    if (in.read<uint32_t>() != layout.streams || !readCells(in, p0, tokens, order)) return false;
    if (in.read<uint32_t>() != 0 || in.read<uint32_t>() != layers.size()) return false;
    const auto starts = canonicalStarts(layers, tokens, start);
    const bool fits = eachHalf(layers, [&](Rows rows, const KvLayer& layer, bool keys) {
      if (in.read<int32_t>() != rows.type || in.read<uint64_t>() != rows.bytes) return false;
      const auto* from = in.take(tokens * rows.bytes);
      if (from == nullptr) return false;
      const auto index = static_cast<size_t>(&layer - layers.data());
      uint8_t* to = out.data() + starts[index] + (keys ? 0 : tokens * layer.keyRowBytes);
      for (size_t i = 0; i < tokens; i++) std::memcpy(to + order[i] * rows.bytes, from + i * rows.bytes, rows.bytes);
      return true;
    });
    if (!fits || !skipEmpty(in, layout.streams)) return false;
    start += tokens * cacheTokenBytes(layers);
  }
  return in.atEnd();
}

void toLibrary(const KvLayout& layout, std::span<const uint8_t> bytes, int32_t p0, std::span<uint8_t> out) {
  const size_t tokens = bytes.size() / layout.tokenBytes();
  Writer blob(out);
  append<uint32_t>(blob, kMagic);
  append<int32_t>(blob, 0);
  size_t start = 0;
  for (const auto& layers : layout.caches) {
    append<uint32_t>(blob, layout.streams);
    appendCells(blob, p0, tokens, layers.size());
    const auto starts = canonicalStarts(layers, tokens, start);
    eachHalf(layers, [&](Rows rows, const KvLayer& layer, bool keys) {
      append<int32_t>(blob, rows.type);
      append<uint64_t>(blob, rows.bytes);
      const auto index = static_cast<size_t>(&layer - layers.data());
      const auto half = bytes.subspan(starts[index] + (keys ? 0 : tokens * layer.keyRowBytes), tokens * rows.bytes);
      blob.add(half.data(), half.size());
      return true;
    });
    appendEmpty(blob, layout.streams);
    start += tokens * cacheTokenBytes(layers);
  }
}

std::vector<uint8_t> libraryHead(const KvLayout& layout, int32_t tokens) {
  Builder head;
  for (const auto& layers : layout.caches) {
    append<uint32_t>(head, layout.streams);
    appendCells(head, 0, static_cast<size_t>(tokens), layers.size());
    eachHalf(layers, [&](Rows rows, const KvLayer&, bool) {
      append<int32_t>(head, rows.type);
      append<uint64_t>(head, rows.bytes);
      return true;
    });
    appendEmpty(head, layout.streams);
  }
  return std::move(head.out);
}

void rowsToBlocks(const KvLayout& layout, std::span<const uint8_t> rows, std::span<const std::span<uint8_t>> blocks) {
  eachRun(layout, rows.size() / blocks.size(), blocks.size(), [&](size_t from, size_t block, size_t to, size_t length) {
    std::memcpy(blocks[block].data() + to, rows.data() + from, length);
  });
}

void blocksToRows(const KvLayout& layout, std::span<const std::span<const uint8_t>> blocks, std::span<uint8_t> rows) {
  eachRun(layout, rows.size() / blocks.size(), blocks.size(), [&](size_t to, size_t block, size_t from, size_t length) {
    std::memcpy(rows.data() + to, blocks[block].data() + from, length);
  });
}

std::string typeName(int32_t type) {
  constexpr struct {
    int32_t type;
    const char* name;
  } names[] = {{0, "f32"},  {1, "f16"},  {2, "q4_0"}, {3, "q4_1"},   {6, "q5_0"},
               {7, "q5_1"}, {8, "q8_0"}, {20, "iq4_nl"}, {30, "bf16"}};
  for (const auto& each : names) {
    if (each.type == type) return each.name;
  }
  return "ggml:" + std::to_string(type);
}

}  // namespace stator
