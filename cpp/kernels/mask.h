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

// The blocks of one key whose counters have the same three upper words. What the first rounds make
// of those alone does not change from draw to draw, and the compiler takes it out of the loop.
template <int kRounds>
class PhiloxBlocks {
 public:
  PhiloxBlocks(const uint32_t (&key)[2], uint32_t word1, uint32_t word2, uint32_t word3)
      : word1_(Words::all(word1)), word2_(Words::all(word2)), word3_(Words::all(word3)) {
    for (uint32_t round = 0; round < kRounds; ++round) {
      key0_[round] = Words::all(key[0] + round * PhiloxRound::kWeyl0);
      key1_[round] = Words::all(key[1] + round * PhiloxRound::kWeyl1);
    }
  }

  // kGroups groups of Words::kBlocks blocks each, from block `first` on. A group is one chain of
  // multiplications; several side by side hide their latency.
  template <int kGroups>
  [[gnu::always_inline]] void draw(uint32_t first, Words (&c)[kGroups][4]) const {
    const Words multiplier0 = Words::all(PhiloxRound::kMultiplier0);
    const Words multiplier1 = Words::all(PhiloxRound::kMultiplier1);
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
      c[g][0] = Words::blocks(first + static_cast<uint32_t>(g) * Words::kBlocks);
      c[g][1] = word1_;
      c[g][2] = word2_;
      c[g][3] = word3_;
    }
#pragma GCC unroll 10
    for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 4
      for (int g = 0; g < kGroups; ++g) {
        const Words p0 = multiply(c[g][0], multiplier0);
        const Words p1 = multiply(c[g][2], multiplier1);
        c[g][0] = xor3(high(p1), c[g][1], key0_[round]);
        c[g][1] = p1;
        c[g][2] = xor3(high(p0), c[g][3], key1_[round]);
        c[g][3] = p0;
      }
    }
  }

 private:
  Words word1_, word2_, word3_;
  Words key0_[kRounds], key1_[kRounds];
};

// Masks of blocks with one upper counter word; tile(t, bits) draws the tile whose first block is t.
template <Rng kRng>
class Mask;

template <>
class Mask<Rng::kKeras> {
 public:
  static constexpr int64_t kBlockElements = 4;

  Mask(const MaskStream& stream, uint32_t block_high)
      : blocks_(stream.key, block_high, stream.counter_high[0], stream.counter_high[1]),
        threshold_(stream.threshold) {}

  [[gnu::always_inline]] void tile(uint32_t first_block, uint64_t (&bits)[2]) const {
    constexpr int kBits = 4 * Words::kBlocks;
    bits[0] = bits[1] = 0;
    for (int done = 0; done < kMaskTile; done += Words::kGroups * kBits) {
      Words c[Words::kGroups][4];
      blocks_.draw(first_block + static_cast<uint32_t>(done / kBlockElements), c);
#pragma GCC unroll 4
      for (int g = 0; g < Words::kGroups; ++g) {
        const int at = done + g * kBits;
        bits[at / 64] |= Words::words_at_least(c[g], threshold_) << (at % 64);
      }
    }
  }

 private:
  PhiloxBlocks<10> blocks_;
  uint32_t threshold_;
};

template <>
class Mask<Rng::kFast> {
 public:
  static constexpr int64_t kBlockElements = 16;

  Mask(const MaskStream& stream, uint32_t block_high)
      : blocks_(stream.key, block_high, stream.counter_high[0],
                stream.counter_high[1] ^ kFastDomain),
        stream_(stream),
        first_element_((uint64_t{block_high} << 32) * kBlockElements) {}

  [[gnu::always_inline]] void tile(uint32_t first_block, uint64_t (&bits)[2]) const {
    constexpr int kGroups = kMaskTile / kBlockElements / Words::kBlocks;
    Words c[kGroups][4];
    blocks_.draw(first_block, c);
    uint64_t ties[2];
#pragma GCC unroll 2
    for (int g = 0; g < kGroups; ++g) {
      Words::compare_bytes(c[g], static_cast<uint8_t>(stream_.threshold >> 24),
                           bits + g * 2 / kGroups, ties + g * 2 / kGroups);
    }
    if ((stream_.threshold & 0xffffff) == 0) {
      bits[0] |= ties[0];
      bits[1] |= ties[1];
    } else if (__builtin_expect((ties[0] | ties[1]) != 0, 0)) {
      for (int half = 0; half < 2; ++half) {
        bits[half] |= kept_ties(first_block, 64 * half, ties[half]);
      }
    }
  }

 private:
  // Which of the elements that tied with the threshold's first byte are kept.
  [[gnu::noinline]] uint64_t kept_ties(uint32_t first_block, int offset, uint64_t ties) const {
    const uint64_t first =
        first_element_ + uint64_t{first_block} * kBlockElements + static_cast<uint64_t>(offset);
    uint64_t kept = 0;
    for (uint64_t left = ties; left != 0; left &= left - 1) {
      const int bit = __builtin_ctzll(left);
      const uint64_t element = first + static_cast<uint64_t>(bit);
      uint32_t words[4] = {static_cast<uint32_t>(element), static_cast<uint32_t>(element >> 32),
                           stream_.counter_high[0], stream_.counter_high[1] ^ kTieDomain};
      philox_block<kFastRounds>(stream_.key, words);
      const bool is_kept = (words[0] & 0xffffff) >= (stream_.threshold & 0xffffff);
      kept |= static_cast<uint64_t>(is_kept) << bit;
    }
    return kept;
  }

  PhiloxBlocks<kFastRounds> blocks_;
  MaskStream stream_;
  uint64_t first_element_;
};

// step(i, bits) for the tile of elements first + i ..., for all i < n in steps of kMaskTile; first
// is a multiple of it.
template <Rng kRng, typename Step>
inline void for_each_tile(const MaskStream& stream, int64_t first, int64_t n, Step step) {
  for (int64_t i = 0; i < n;) {
    const int64_t block = (first + i) / Mask<kRng>::kBlockElements;
    const Mask<kRng> mask(stream, static_cast<uint32_t>(block >> 32));
    const int64_t next_high = ((block >> 32) + 1) << 32;
    const int64_t end = next_high * Mask<kRng>::kBlockElements - first;
    uint32_t first_block = static_cast<uint32_t>(block);
    for (; i < n && i < end; i += kMaskTile) {
      uint64_t bits[2];
      mask.tile(first_block, bits);
      step(i, bits);
      first_block += kMaskTile / Mask<kRng>::kBlockElements;
    }
  }
}

}  // namespace FASTREG_KERNEL_ISA
}  // namespace fastreg
