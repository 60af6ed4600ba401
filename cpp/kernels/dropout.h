// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "fastreg/rng.h"
#include "kernels/stores.h"

namespace fastreg {

// Mask elements are drawn in tiles: both generators fill this many from whole Philox blocks.
constexpr int64_t kMaskTile = 128;

// A generator after seeding: its 128-bit block counter starts at (0, counter_high).
struct MaskStream {
  uint32_t key[2];
  uint32_t counter_high[2];
  uint32_t threshold;  // kKeras: of 2^23, kFast: of 2^32
  Rng rng;
};

struct MaskKernels {
  // Bit i of `bits` (64 to a word) tells whether mask element first + i is kept, for whole tiles:
  // first is a multiple of kMaskTile, n is rounded up to one.
  void (*bits)(const MaskStream& stream, int64_t first, int64_t n, uint64_t* bits) noexcept;
};

template <typename T>
struct DropoutKernels {
  // y = kept ? x * scale : 0 for mask elements first, first + 1, ... 1 load and 1 store an element.
  void (*drop)(const MaskStream& stream, int64_t first, const T* x, int64_t n, double scale, T* y,
               Stores stores) noexcept;
  // The same with a mask drawn before, from bit `offset` of `bits` on; with `repeat` that one bit
  // serves all n elements.
  void (*apply)(const uint64_t* bits, int64_t offset, bool repeat, const T* x, int64_t n,
                double scale, T* y) noexcept;
};

}  // namespace fastreg
