// SPDX-License-Identifier: Apache-2.0
// Tiles of the dropout mask: kMaskTile keep bits from their index alone.
#pragma once

#include "kernels/dropout.h"
#include "kernels/philox.h"
#include "kernels/vec.h"

namespace fastreg {
namespace FASTREG_KERNEL_ISA {

// Domains of the second counter word: streams that share a key never share a block.
constexpr uint32_t kFastDomain = 0x80000000u;
constexpr uint32_t kTieDomain = 0x40000000u;
constexpr int kFastRounds = 7;

// kGroups groups of Words::kBlocks consecutive blocks each, from block `first` on.
template <int kRounds, int kGroups>
inline void philox_blocks(uint64_t first, const uint32_t (&key)[2], uint32_t high2, uint32_t high3,
                          Words (&c)[kGroups][4]) {
#pragma GCC unroll 4
  for (int g = 0; g < kGroups; ++g) {
    c[g][0] = Words::blocks(first + static_cast<uint64_t>(g) * Words::kBlocks);
    c[g][1] = high(c[g][0]);
    c[g][2] = Words::all(high2);
    c[g][3] = Words::all(high3);
  }
  const Words multiplier0 = Words::all(PhiloxRound::kMultiplier0);
  const Words multiplier1 = Words::all(PhiloxRound::kMultiplier1);
  uint32_t k0 = key[0], k1 = key[1];
#pragma GCC unroll 10
  for (int round = 0; round < kRounds; ++round) {
    const Words key0 = Words::all(k0), key1 = Words::all(k1);
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
      const Words p0 = multiply(c[g][0], multiplier0);
      const Words p1 = multiply(c[g][2], multiplier1);
      c[g][0] = xor3(high(p1), c[g][1], key0);
      c[g][1] = p1;
      c[g][2] = xor3(high(p0), c[g][3], key1);
      c[g][3] = p0;
    }
    k0 += PhiloxRound::kWeyl0;
    k1 += PhiloxRound::kWeyl1;
  }
}

inline void keras_tile(const MaskStream& stream, uint64_t tile, uint64_t (&bits)[2]) {
  constexpr int kBits = 4 * Words::kBlocks;
  bits[0] = bits[1] = 0;
  for (int done = 0; done < kMaskTile; done += Words::kGroups * kBits) {
    Words c[Words::kGroups][4];
    philox_blocks<10, Words::kGroups>(tile * (kMaskTile / 4) + static_cast<uint64_t>(done / 4),
                                      stream.key, stream.counter_high[0], stream.counter_high[1],
                                      c);
    for (int g = 0; g < Words::kGroups; ++g) {
      const int at = done + g * kBits;
      bits[at / 64] |= Words::words_at_least(c[g], stream.threshold) << (at % 64);
    }
  }
}

// Whether an element whose first byte tied with the threshold's is kept.
inline bool keep_tied(const MaskStream& stream, uint64_t element) {
  uint32_t words[4] = {static_cast<uint32_t>(element), static_cast<uint32_t>(element >> 32),
                       stream.counter_high[0], stream.counter_high[1] ^ kTieDomain};
  philox_block<kFastRounds>(stream.key, words);
  return (words[0] & 0xffffff) >= (stream.threshold & 0xffffff);
}

inline void fast_tile(const MaskStream& stream, uint64_t tile, uint64_t (&bits)[2]) {
  constexpr int kBlocks = kMaskTile / 16;
  constexpr int kGroups = kBlocks / Words::kBlocks;
  Words c[kGroups][4];
  philox_blocks<kFastRounds, kGroups>(tile * kBlocks, stream.key, stream.counter_high[0],
                                      stream.counter_high[1] ^ kFastDomain, c);
  uint64_t ties[2];
  for (int g = 0; g < kGroups; ++g) {
    Words::compare_bytes(c[g], static_cast<uint8_t>(stream.threshold >> 24), bits + g * 2 / kGroups,
                         ties + g * 2 / kGroups);
  }
  if ((stream.threshold & 0xffffff) == 0) {
    bits[0] |= ties[0];
    bits[1] |= ties[1];
    return;
  }
  for (int half = 0; half < 2; ++half) {
    for (uint64_t left = ties[half]; left != 0; left &= left - 1) {
      const int bit = __builtin_ctzll(left);
      const uint64_t element = tile * kMaskTile + static_cast<uint64_t>(64 * half + bit);
      bits[half] |= static_cast<uint64_t>(keep_tied(stream, element)) << bit;
    }
  }
}

template <Rng kRng>
inline void mask_tile(const MaskStream& stream, uint64_t tile, uint64_t (&bits)[2]) {
  if constexpr (kRng == Rng::kKeras) keras_tile(stream, tile, bits);
  if constexpr (kRng == Rng::kFast) fast_tile(stream, tile, bits);
}

}  // namespace FASTREG_KERNEL_ISA
}  // namespace fastreg
