// SPDX-License-Identifier: Apache-2.0
// Tiles of the dropout mask: kMaskTile keep bits from their index alone.
#pragma once

#include "kernels/dropout.h"
#include "kernels/loops.h"
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
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
      c[g][0] = Words::blocks(first + static_cast<uint32_t>(g) * Words::kBlocks);
    }
    draw(c);
  }

  // The blocks whose first counter words are c[g][0].
  template <int kGroups>
  [[gnu::always_inline]] void draw(Words (&c)[kGroups][4]) const {
    const Words multiplier0 = Words::all(PhiloxRound::kMultiplier0);
    const Words multiplier1 = Words::all(PhiloxRound::kMultiplier1);
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
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

// Said of what is left from a tile on where that is more than the tile.
using WholeTile = Constant<kMaskTile>;

// keep[k] of a tile is its k-th Keep.
using KeepTile = Keep[kMaskTile / Keep::kLanes];

struct BitTile {
  const uint64_t* bits;
  Keep operator[](int64_t k) const { return Keep::at(bits, k * Keep::kLanes); }
};

// Stock Keras's mask: a word an element.
class KerasMask {
 public:
  static constexpr int64_t kBlockElements = 4;
  // Elements whose counters have the same upper words.
  static constexpr int64_t kSpan = kBlockElements << 32;

  KerasMask(const MaskStream& stream, uint32_t block_high)
      : blocks_(stream.key, block_high, stream.counter_high[0], stream.counter_high[1]),
        threshold_(stream.threshold) {}

  // step(i, keep, n - i) for the tiles of n elements, the first of which begins at `first_block`. A
  // last tile has a loop of its own: only there the mask is indexed, and so lies in memory.
  template <typename Step>
  [[gnu::always_inline]] void for_each_tile(uint32_t first_block, int64_t n, Step step) const {
    int64_t i = 0;
    const auto with_tile = [&](auto left) __attribute__((always_inline)) {
      KeepTile keep;
      draw(first_block + static_cast<uint32_t>(i / kBlockElements), keep);
      step(i, keep, left);
    };
    for (; i + kMaskTile <= n; i += kMaskTile) with_tile(WholeTile{});
    if (i < n) with_tile(n - i);
  }

 private:
  [[gnu::always_inline]] void draw(uint32_t first_block, KeepTile& keep) const {
    constexpr int kWords = 4 * Words::kBlocks;
#pragma GCC unroll 8
    for (int done = 0; done < kMaskTile; done += Words::kGroups * kWords) {
      Words c[Words::kGroups][4];
      blocks_.draw(first_block + static_cast<uint32_t>(done / kBlockElements), c);
#pragma GCC unroll 4
      for (int g = 0; g < Words::kGroups; ++g) {
        Words::words_at_least(c[g], threshold_, keep + (done + g * kWords) / Keep::kLanes);
      }
    }
  }

  PhiloxBlocks<10> blocks_;
  uint32_t threshold_;
};

// A byte an element. Where it ties with the threshold's first byte, 24 bits that belong to the
// element decide, so that the rate is exact to 2^-32. Tiles are drawn in groups, so that ties, one
// in 256 elements, are resolved side by side.
class FastMask {
 public:
  static constexpr int64_t kBlockElements = 16;
  // Of ties too, which count elements.
  static constexpr int64_t kSpan = int64_t{1} << 32;

  FastMask(const MaskStream& stream, uint32_t block_high)
      : blocks_(stream.key, block_high, stream.counter_high[0],
                stream.counter_high[1] ^ kFastDomain),
        stream_(stream),
        first_element_((uint64_t{block_high} << 32) * kBlockElements) {}

  // While the tiles of one group are used, those of the next one are drawn: so the memory's time
  // and the generator's overlap.
  template <typename Step>
  [[gnu::always_inline]] void for_each_tile(uint32_t first_block, int64_t n, Step step) const {
    constexpr int64_t kGroup = kTiles * kMaskTile;
    const bool has_rest = (stream_.threshold & 0xffffff) != 0;
    const uint64_t first = first_element_ + uint64_t{first_block} * kBlockElements;
    uint64_t buffers[2][kGroup / 64], ties[kGroup / 64];
    uint64_t *bits = buffers[0], *next_bits = buffers[1];
    for (int64_t begin = -kGroup; begin < n; begin += kGroup) {
      const int64_t next = begin + kGroup;
      for (int64_t i = 0; i < kGroup; i += kMaskTile) {
        if (next + i < n) {
          draw(first_block + static_cast<uint32_t>((next + i) / kBlockElements), next_bits + i / 64,
               ties + i / 64);
          for (int64_t word = i / 64; !has_rest && word < i / 64 + 2; ++word) {
            next_bits[word] |= ties[word];
          }
        }
        const int64_t left = n - begin - i;
        if (begin >= 0 && left > 0) step(begin + i, BitTile{bits + i / 64}, left);
      }
      if (has_rest && next < n) {
        const int64_t size = n - next < kGroup ? n - next : kGroup;
        resolve(stream_, first + static_cast<uint64_t>(next), size, ties, next_bits);
      }
      uint64_t* const used = bits;
      bits = next_bits;
      next_bits = used;
    }
  }

 private:
  // Eight ties a group on average, one vector's full.
  static constexpr int64_t kTiles = 16;

  // The bits of a tile whose byte is above the threshold's, and of those that tie.
  [[gnu::always_inline]] void draw(uint32_t first_block, uint64_t* bits, uint64_t* ties) const {
    constexpr int kGroups = kMaskTile / kBlockElements / Words::kBlocks;
    const auto byte = static_cast<uint8_t>(stream_.threshold >> 24);
    Words c[kGroups][4];
    blocks_.draw(first_block, c);
#pragma GCC unroll 2
    for (int g = 0; g < kGroups; ++g) {
      Words::compare_bytes(c[g], byte, bits + g * 2 / kGroups, ties + g * 2 / kGroups);
    }
  }

  // Sets the bits of those ties among n elements from `first` on that are kept.
  [[gnu::noinline]] static void resolve(const MaskStream& stream, uint64_t first, int64_t n,
                                        const uint64_t* ties, uint64_t* bits) {
    const PhiloxBlocks<kFastRounds> blocks(stream.key, static_cast<uint32_t>(first >> 32),
                                           stream.counter_high[0],
                                           stream.counter_high[1] ^ kTieDomain);
    uint64_t tied[Words::kBlocks] = {}, drawn[Words::kBlocks];
    int count = 0;
    const auto resolve_some = [&] {
      Words c[1][4];
      c[0][0] = Words::load(tied);
      blocks.draw(c);
      c[0][0].store(drawn);
      for (int k = 0; k < count; ++k) {
        const uint64_t i = tied[k] - static_cast<uint32_t>(first);
        const uint64_t is_kept = (drawn[k] & 0xffffff) >= (stream.threshold & 0xffffff);
        bits[i / 64] |= is_kept << (i % 64);
      }
      count = 0;
    };
    for (int64_t word = 0; word < (n + kMaskTile - 1) / kMaskTile * (kMaskTile / 64); ++word) {
      for (uint64_t left = ties[word]; left != 0; left &= left - 1) {
        const int bit = __builtin_ctzll(left);
        tied[count++] = static_cast<uint32_t>(first) + static_cast<uint64_t>(64 * word + bit);
        if (count == Words::kBlocks) resolve_some();
      }
    }
    if (count > 0) resolve_some();
  }

  PhiloxBlocks<kFastRounds> blocks_;
  MaskStream stream_;
  uint64_t first_element_;
};

// step(i, keep, elements left) for the tile of elements first + i ..., for all i < n in steps of
// kMaskTile; first is a multiple of it.
template <typename Mask, typename Step>
inline void for_each_tile(const MaskStream& stream, int64_t first, int64_t n, Step step) {
  for (int64_t i = 0; i < n;) {
    const int64_t block = (first + i) / Mask::kBlockElements;
    const int64_t end = ((first + i) / Mask::kSpan + 1) * Mask::kSpan - first;
    const int64_t size = (n < end ? n : end) - i;
    Mask(stream, static_cast<uint32_t>(block >> 32))
        .for_each_tile(static_cast<uint32_t>(block), size,
                       [=](int64_t k, const auto& keep, auto left) { step(i + k, keep, left); });
    i += size;
  }
}

// f(the class of the generator as a type)
template <typename Mask>
struct MaskOf {
  using type = Mask;
};

template <typename F>
inline void with_mask(Rng rng, F f) {
  if (rng == Rng::kFast) return f(MaskOf<FastMask>{});
  f(MaskOf<KerasMask>{});
}

}  // namespace FASTREG_KERNEL_ISA
}  // namespace fastreg
