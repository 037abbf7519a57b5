// Vectors made with libxxhash 0.8.1 over the bytes of the generator below.
#include "core/xxh3.h"

#include <vector>

#include "check.h"
#include "core/block_hash.h"
#include "core/random.h"

namespace {

struct Vector {
  size_t size;
  uint64_t unseeded, seeded;
};

constexpr Vector kVectors[] = {
    {0, 0x2d06800538d394c2u, 0xd1f3e77444430ab9u},
    {1, 0x429e81bc6744101cu, 0x801147c0c5a14596u},
    {2, 0xa65771cbfd464c2du, 0xc87aed0be6751639u},
    {3, 0x32dbb5c7774cc94fu, 0x98b42bdffa5ea860u},
    {4, 0x65775238ca34c06fu, 0x4dae3c5fd45b908cu},
    {5, 0xd3bdebb681920cdfu, 0x3aa7740b52fe0a63u},
    {8, 0x90b760c9d253d0ffu, 0x9983334c28444b1eu},
    {9, 0x15ae9f843bb50ea4u, 0xe4badd9675d4c9a2u},
    {15, 0x54b0978486c08a15u, 0x648258a4e52bddebu},
    {16, 0x372c92fa68129c98u, 0xd379a624b3d2965eu},
    {17, 0xb5d6b9c1898bd9d6u, 0x272a8558aa9098c9u},
    {31, 0x79c8355e61bb90b5u, 0xd17e7b99bcdf5b2au},
    {32, 0x0ab1dbf9e9f8c22cu, 0x81ddbcbaeb6849a0u},
    {33, 0x4f4ae280e8465c3cu, 0x9fa1b8d16af0bf0au},
    {64, 0x84fcac4cce9f990du, 0xb6744cd8d5b73574u},
    {96, 0xe1e1ba1b4e47ded7u, 0x64dfd0e7261e629cu},
    {127, 0xc33e60b9db382d32u, 0x48b58a4a88c4a208u},
    {128, 0xc59e505a97d029e0u, 0x8c8f84163ca9bc0eu},
    {129, 0xf9e651a476d6d3cau, 0xf2988cd59da9c2d1u},
    {143, 0x4916c14bd2fd8e2au, 0x9a800751e3920544u},
    {144, 0x6630fc8e0296f27fu, 0x874e7d558c7c6c5fu},
    {200, 0x85d691776ef97dbeu, 0x576889cfd20b521bu},
    {239, 0x4d083af3e4a9a1cfu, 0x55dda5b32765c00eu},
    {240, 0x967597e635f3c527u, 0x74da803b619f0db2u},
    {241, 0xd6afac6f8fa85b01u, 0x256a0489c8b07885u},
    {255, 0x22062a421972fddeu, 0x573bfea878ee5815u},
    {256, 0x9e6593bab96413dau, 0x709716bbabb28109u},
    {257, 0xc7f456fff4eaca08u, 0xdf1ad2bc689b4c56u},
    {511, 0xf8e3fbcf89733a1au, 0xbdcd510a8a05de11u},
    {512, 0x426b67e0356d303du, 0xf9e272f7eb95056cu},
    {1023, 0x120a0457e3e899f6u, 0x705ade1c6d081e22u},
    {1024, 0xbb9f0c3761cdfd54u, 0xb588157e17a49f57u},
    {1025, 0x95edccc1adc4d895u, 0xbfe0cce1a9e30236u},
    {1088, 0xe8391a3978cbcf06u, 0x9891d40e2de721d7u},
    {2048, 0x278f7a6a39416b51u, 0x46b6d377517dd7ddu},
    {2049, 0x644272755e8980a0u, 0x08472d62989c6aaau},
    {4096, 0x436f521f6688c5edu, 0x1692153e259ef8eau},
    {5000, 0x06983d4ce0939f36u, 0x50831665b892cbedu},
};

std::vector<uint8_t> bytes(size_t size) {
  std::vector<uint8_t> out(size);
  uint32_t state = 1;
  for (auto& byte : out) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<uint8_t>(state >> 24);
  }
  return out;
}

}  // namespace

TEST(xxh3_equals_the_reference_at_every_path) {
  for (const auto& vector : kVectors) {
    // A buffer of exactly this size, so that the sanitizer sees any read beyond it.
    const auto data = bytes(vector.size);
    CHECK(stator::xxh3(data.data(), vector.size, 0) == vector.unseeded);
    CHECK(stator::xxh3(data.data(), vector.size, 1337) == vector.seeded);
  }
}

TEST(xxh3_reads_unaligned_data) {
  const auto data = bytes(1031);
  for (size_t shift = 1; shift < 8; shift++) {
    const std::vector<uint8_t> copy(data.begin() + static_cast<std::ptrdiff_t>(shift), data.end());
    CHECK(stator::xxh3(data.data() + shift, data.size() - shift, 7) == stator::xxh3(copy.data(), copy.size(), 7));
  }
}

TEST(block_hashes_equal_the_reference_vectors) {
  std::vector<uint32_t> tokens;
  for (uint32_t i = 1; i <= 18; i++) tokens.push_back(i);
  uint64_t local[4], sequence[4];
  CHECK(stator::hashBlocks(tokens.data(), tokens.size(), 4, 1337, local, sequence) == 4);
  CHECK(local[0] == 0xcb38e4d7fb2dca5cu && local[3] == 0x01e03482f18b34e9u);
  CHECK(sequence[0] == local[0] && sequence[1] == 0x44a2b2379d6d3c3du && sequence[3] == 0x1aaa5eb6e2524a3bu);
  CHECK(stator::hashBlocks(tokens.data(), 3, 4, 1337, local, sequence) == 0);
}

TEST(contents_have_objects_behind_their_ids_and_may_look_ahead) {
  std::vector<uint32_t> tokens;
  for (uint32_t i = 1; i <= 16; i++) tokens.push_back(i);
  const uint32_t block = 1;
  const uint64_t object = 0xdeadbeefcafe;
  uint64_t local[4] = {};
  stator::hashContents({tokens.data(), 4, 0, 1337}, 0, 4, {&block, &object, 1}, local);
  CHECK(local[0] == 0xcb38e4d7fb2dca5cu && local[1] == 0xdc500a7a4e3c6bd4u && local[2] == 0x06b748f1777d599cu);
  stator::hashContents({tokens.data(), 4, 1, 1337}, 1, 3, {}, local);
  CHECK(local[0] == 0xcb38e4d7fb2dca5cu && local[1] == 0x1ac55a72d61806e3u && local[2] == 0x7173bc24eaf6c994u);
}

TEST(philox_equals_its_published_vectors) {
  using Words = std::array<uint32_t, 4>;
  CHECK((stator::philox({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr uint32_t ones = 0xffffffff;
  CHECK((stator::philox({ones, ones, ones, ones}, {ones, ones}) ==
         Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  CHECK((stator::philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
         Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(draws_fill_the_unit_interval_evenly) {
  constexpr int buckets = 16, count = 32000;
  int seen[buckets] = {};
  for (uint32_t i = 0; i < count; i++) {
    const double draw = stator::uniformDraw(99, i % 3, i, stator::Lane::own);
    CHECK(draw >= 0 && draw < 1);
    seen[static_cast<int>(draw * buckets)]++;
  }
  for (const int each : seen) CHECK(each > count / buckets * 0.9 && each < count / buckets * 1.1);
  CHECK(stator::uniformDraw(1, 0, 5, stator::Lane::own) != stator::uniformDraw(1, 0, 5, stator::Lane::afterRejection));
}
