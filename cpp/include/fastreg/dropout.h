// SPDX-License-Identifier: Apache-2.0
// Inverted dropout: y = x * (1 / (1 - rate)) where an element is kept, else +0 (also for a NaN).
//
// The gradient is the same function of the incoming gradient. y may be x itself.
#pragma once

#include <vector>

#include "fastreg/dtype.h"
#include "fastreg/parallel.h"
#include "fastreg/rng.h"

namespace fastreg {

struct Seed {
  int64_t words[2];
  // Keras reduces its 64-bit generator state modulo 2^31 - 2 before TensorFlow sees it.
  static Seed reduced(int64_t first, int64_t second);
};

struct DropoutSpec {
  double rate;  // in [0, 1]
  Seed seed;
  Rng rng;
};

template <typename T>
void dropout(const T* x, int64_t n, const DropoutSpec& spec, T* y, const Executor& executor);

// One mask element serves a whole broadcast dimension: noise_shape[d] is shape[d] or 1.
template <typename T>
void dropout(const T* x, const std::vector<int64_t>& shape, const std::vector<int64_t>& noise_shape,
             const DropoutSpec& spec, T* y, const Executor& executor);

}  // namespace fastreg
