// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/stores.h"

namespace fastreg {

struct PenaltySums {
  double magnitudes;  // sum |w|
  double squares;     // sum w^2
};

// Which terms are wanted: bits, so that both is kL1 | kL2.
enum PenaltyTerms : int { kNoPenalty = 0, kL1 = 1, kL2 = 2 };

template <typename T>
struct PenaltyKernels {
  // Sums of the terms wanted, 0 for the others.
  PenaltySums (*sums)(const T* w, int64_t n, int terms) noexcept;
  // gradient = l1 * sign(w) + 2 * l2 * w, without the terms that are not wanted. Infinite only
  // where that is beyond the range of T: l1 and 2 * l2 may be.
  void (*gradient)(const T* w, int64_t n, int terms, double l1, double l2, T* gradient,
                   Stores stores) noexcept;
  // Both from one load and one store an element; gradient is not w, and terms
  // are wanted.
  PenaltySums (*sums_and_gradient)(const T* w, int64_t n, int terms, double l1, double l2,
                                   T* gradient, Stores stores) noexcept;
};

}  // namespace fastreg
