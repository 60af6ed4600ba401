// SPDX-License-Identifier: Apache-2.0
// L1 and L2 penalties of n contiguous elements w, and their gradients.
//
//   penalty  = l1 * sum |w| + l2 * sum w^2          (Keras's convention: no 1/2)
//   gradient = l1 * sign(w) + 2 * l2 * w            (sign(+-0) = 0, sign(NaN) = NaN)
//
// A term whose factor is 0 is skipped, so that an infinite w gives no NaN through it. The sums are
// carried in double beyond short blocks; a block whose float squares would overflow or vanish is
// summed in double throughout. The gradient is computed in Compute<T> and may be written over w.
// Factors may be beyond the range of Compute<T>: the gradient is infinite where the true one is,
// and 0 at 0. n = 0 gives 0.
#pragma once

#include "fastreg/dtype.h"
#include "fastreg/parallel.h"

namespace fastreg {

template <typename T>
double l1_l2_penalty(const T* w, int64_t n, double l1, double l2, const Executor& executor);

template <typename T>
void l1_l2_gradient(const T* w, int64_t n, double l1, double l2, T* gradient,
                    const Executor& executor);

// Both, from one reading of w.
template <typename T>
double l1_l2_penalty_and_gradient(const T* w, int64_t n, double l1, double l2, T* gradient,
                                  const Executor& executor);

}  // namespace fastreg
