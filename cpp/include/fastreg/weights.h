// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace fastreg {

// How much each sample, or each element, counts in the statistics of batch normalization. Where it
// is 0, x may be NaN. Weights are finite and at least 0, and so is their sum.
template <typename S>
struct BatchNormWeights {
  const S* values;   // null: all 1
  bool per_element;  // laid out like x; else one per sample
};

}  // namespace fastreg
