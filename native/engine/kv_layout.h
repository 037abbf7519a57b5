#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace stator {

/// The rows of one layer: bytes per token, zero for values that a model does not keep.
struct KvLayer {
  int32_t keyType = 0;
  size_t keyRowBytes = 0;
  int32_t valueType = 0;
  size_t valueRowBytes = 0;
};

/// What one sequence's state looks like in the library's own form, and its size in ours.
///
/// Library form (little endian): u32 magic, i32 sequence; then for each cache (one, or two for sliding windows): u32
/// streams, u32 cells, per cell {i32 position, u32 1, i32 sequence}, u32 transposed = 0, u32 layers, per layer {i32
/// type, u64 row, key rows}, per layer {i32 type, u64 row, value rows}, and u32 0 for each further stream. Rows follow
/// cells, not positions.
/// Row form: the key and value rows of the library form, nothing between them.
/// Canonical form: [layer][K|V][token][row], nothing else.
struct KvLayout {
  /// Layers of each cache.
  std::vector<std::vector<KvLayer>> caches;
  /// Empty when blocks can be exported, else the reason in one sentence.
  std::string reason;
  /// Runs of cells that each cache has: 1, or one for every sequence.
  uint32_t streams = 1;

  bool exportable() const { return reason.empty(); }
  /// Canonical bytes of one token over all layers.
  size_t tokenBytes() const;
  /// Bytes of the library form of `tokens` tokens.
  size_t blobBytes(size_t tokens) const;
};

/// Learns the layout from the library form of the first of `streams` sequences, with exactly one token. Anything else
/// gives a reason.
KvLayout discoverLayout(std::span<const uint8_t> blob, uint32_t streams = 1);

/// The library form of a sequence with `tokens` tokens from position 0 on, without magic, sequence and rows.
std::vector<uint8_t> libraryHead(const KvLayout& layout, int32_t tokens);

/// Turns the row form of some tokens into the canonical form of blocks of equal size, which are as long together.
void rowsToBlocks(const KvLayout& layout, std::span<const uint8_t> rows, std::span<const std::span<uint8_t>> blocks);

/// The inverse of rowsToBlocks.
void blocksToRows(const KvLayout& layout, std::span<const std::span<const uint8_t>> blocks, std::span<uint8_t> rows);

/// Turns the library form of positions p0 .. p1-1 into the canonical form. Every field is checked against the layout;
/// false when one differs or a position is absent or double. `out` holds (p1 - p0) * tokenBytes() bytes.
bool toCanonical(const KvLayout& layout, std::span<const uint8_t> blob, int32_t p0, int32_t p1, std::span<uint8_t> out);

/// Builds the library form for positions p0 .. of as many tokens as `bytes` holds. The header is made of the layout
/// alone. `bytes.size()` must be a positive multiple of tokenBytes(), and `out` has the blobBytes() of these tokens.
void toLibrary(const KvLayout& layout, std::span<const uint8_t> bytes, int32_t p0, std::span<uint8_t> out);

/// The name of an element type, as used in `KvType` of lib/native/context.ts.
std::string typeName(int32_t type);

}  // namespace stator
