#include "engine/kv_layout.h"

#include <cstring>
#include <utility>
#include <vector>

#include "check.h"

namespace {

using stator::KvLayer;
using stator::KvLayout;
using stator::test::Rng;

KvLayout randomLayout(Rng& rng) {
  KvLayout layout;
  const bool values = rng.below(4) != 0;
  for (uint64_t cache = 0; cache <= rng.below(2); cache++) {
    std::vector<KvLayer> layers(1 + rng.below(4));
    for (auto& layer : layers) {
      layer = {static_cast<int32_t>(rng.below(9)), 1 + rng.below(40), static_cast<int32_t>(rng.below(9)),
               values ? 1 + rng.below(40) : 0};
      if (!values) layer.valueType = 0;
    }
    layout.caches.push_back(std::move(layers));
  }
  return layout;
}

std::vector<uint8_t> randomBytes(Rng& rng, size_t size) {
  std::vector<uint8_t> out(size);
  for (auto& byte : out) byte = static_cast<uint8_t>(rng.next());
  return out;
}

bool equal(const KvLayout& a, const KvLayout& b) {
  if (a.caches.size() != b.caches.size()) return false;
  for (size_t i = 0; i < a.caches.size(); i++) {
    if (a.caches[i].size() != b.caches[i].size()) return false;
    for (size_t k = 0; k < a.caches[i].size(); k++) {
      const auto &x = a.caches[i][k], &y = b.caches[i][k];
      if (x.keyType != y.keyType || x.keyRowBytes != y.keyRowBytes) return false;
      if (x.valueType != y.valueType || x.valueRowBytes != y.valueRowBytes) return false;
    }
  }
  return true;
}

/// Swaps two cells of the first cache, with their rows: what a scattered cache looks like.
void swapCells(const KvLayout& layout, std::vector<uint8_t>& blob, size_t tokens, size_t a, size_t b) {
  const auto swapAt = [&](size_t start, size_t width) {
    std::vector<uint8_t> held(blob.begin() + static_cast<std::ptrdiff_t>(start + a * width),
                              blob.begin() + static_cast<std::ptrdiff_t>(start + a * width + width));
    std::memmove(blob.data() + start + a * width, blob.data() + start + b * width, width);
    std::memcpy(blob.data() + start + b * width, held.data(), width);
  };
  size_t at = 16;
  swapAt(at, 12);
  at += 12 * tokens + 8;
  for (const bool keys : {true, false}) {
    for (const auto& layer : layout.caches[0]) {
      const size_t row = keys ? layer.keyRowBytes : layer.valueRowBytes;
      if (row == 0) continue;
      swapAt(at + 12, row);
      at += 12 + row * tokens;
    }
  }
}

}  // namespace

TEST(layout_is_discovered_from_one_token) {
  Rng rng(11);
  for (int round = 0; round < 300; round++) {
    const auto layout = randomLayout(rng);
    std::vector<uint8_t> blob(layout.blobBytes(1));
    stator::toLibrary(layout, randomBytes(rng, layout.tokenBytes()), 0, blob);
    const auto found = stator::discoverLayout(blob);
    CHECK(found.exportable());
    CHECK(found.tokenBytes() == layout.tokenBytes());
    // A cache without values can also be read as two caches; bytes agree either way, so only clear cases are compared.
    if (layout.caches[0][0].valueRowBytes > 0) CHECK(equal(found, layout));
  }
}

TEST(canonical_and_library_form_are_inverses) {
  Rng rng(12);
  for (int round = 0; round < 300; round++) {
    const auto layout = randomLayout(rng);
    const size_t tokens = 1 + rng.below(20);
    const auto bytes = randomBytes(rng, tokens * layout.tokenBytes());
    const auto p0 = static_cast<int32_t>(rng.below(1000));
    const auto p1 = p0 + static_cast<int32_t>(tokens);
    std::vector<uint8_t> blob(layout.blobBytes(tokens));
    stator::toLibrary(layout, bytes, p0, blob);
    std::vector<uint8_t> back(bytes.size());
    CHECK(stator::toCanonical(layout, blob, p0, p1, back));
    CHECK(back == bytes);
    swapCells(layout, blob, tokens, rng.below(tokens), rng.below(tokens));
    std::vector<uint8_t> scattered(bytes.size());
    CHECK(stator::toCanonical(layout, blob, p0, p1, scattered));
    CHECK(scattered == bytes);
    CHECK(!stator::toCanonical(layout, blob, p0 + 1, p1 + 1, scattered));
    CHECK(!stator::toCanonical(layout, blob, p0, p1 + 1, scattered));
  }
}

TEST(broken_blobs_are_refused_or_read_within_bounds) {
  Rng rng(13);
  int refused = 0;
  for (int round = 0; round < 4000; round++) {
    const auto layout = randomLayout(rng);
    const size_t tokens = 1 + rng.below(6);
    const auto p1 = static_cast<int32_t>(tokens);
    std::vector<uint8_t> blob(layout.blobBytes(tokens));
    stator::toLibrary(layout, randomBytes(rng, tokens * layout.tokenBytes()), 0, blob);
    switch (rng.below(4)) {
      case 0:
        blob.resize(rng.below(blob.size()));
        break;
      case 1:
        blob.resize(blob.size() + 1 + rng.below(64), 7);
        break;
      case 2:
        for (uint64_t k = 0; k <= rng.below(8); k++) blob[rng.below(blob.size())] = static_cast<uint8_t>(rng.next());
        break;
      default:
        blob[rng.below(std::min<size_t>(blob.size(), 60))] ^= static_cast<uint8_t>(1u << rng.below(8));
    }
    const std::vector<uint8_t> exact(blob);
    std::vector<uint8_t> out(tokens * layout.tokenBytes());
    refused += stator::toCanonical(layout, exact, 0, p1, out) ? 0 : 1;
    stator::discoverLayout(exact);
  }
  CHECK(refused > 2000);
}

TEST(a_huge_count_is_no_allocation) {
  std::vector<uint8_t> blob(64, 0xff);
  const uint32_t magic = 0xaf143cd8, one = 1;
  std::memcpy(blob.data(), &magic, 4);
  std::memcpy(blob.data() + 8, &one, 4);
  std::memcpy(blob.data() + 12, &one, 4);
  CHECK(!stator::discoverLayout(blob).exportable());
  CHECK(!stator::discoverLayout({}).exportable());
}
