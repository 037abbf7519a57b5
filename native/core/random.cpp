#include "core/random.h"

namespace stator {

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; round++) {
    const uint64_t first = 0xD2511F53ull * counter[0];
    const uint64_t second = 0xCD9E8D57ull * counter[2];
    counter = {static_cast<uint32_t>(second >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(second),
               static_cast<uint32_t>(first >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(first)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

double uniformDraw(uint64_t seed, uint32_t choice, uint32_t position, Lane lane) {
  const auto words = philox({position, choice, static_cast<uint32_t>(lane), 0},
                            {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  const double high = words[0] >> 5;
  const double low = words[1] >> 6;
  return (high * 67108864.0 + low) / 9007199254740992.0;
}

}  // namespace stator
