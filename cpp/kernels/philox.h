// SPDX-License-Identifier: Apache-2.0
// The counter-based generator Philox4x32 (Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3", 2011): one block of four words from a 128-bit counter and a 64-bit key.
#pragma once

#include <cstdint>

namespace fastreg {

struct PhiloxRound {
  static constexpr uint32_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
  static constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
};

// static: a copy per translation unit, because each may be compiled for another instruction set.
template <int kRounds>
static inline void philox_block(const uint32_t (&key)[2], uint32_t (&words)[4]) {
  uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t p0 = uint64_t{PhiloxRound::kMultiplier0} * words[0];
    const uint64_t p1 = uint64_t{PhiloxRound::kMultiplier1} * words[2];
    const uint32_t next0 = static_cast<uint32_t>(p1 >> 32) ^ words[1] ^ k0;
    const uint32_t next2 = static_cast<uint32_t>(p0 >> 32) ^ words[3] ^ k1;
    words[0] = next0;
    words[1] = static_cast<uint32_t>(p1);
    words[2] = next2;
    words[3] = static_cast<uint32_t>(p0);
    k0 += PhiloxRound::kWeyl0;
    k1 += PhiloxRound::kWeyl1;
  }
}

}  // namespace fastreg
