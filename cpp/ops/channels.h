// SPDX-License-Identifier: Apache-2.0
// How the ops of batch normalization read operands by the channels' axis.
#pragma once

#include <algorithm>
#include <cmath>

#include "fastreg/batch_norm.h"
#include "ops/ops.h"

namespace fastreg {

// Counted from the front; throws where it is not an axis of x.
int axis_of(const Operand& x, const Attributes& attributes);

BatchNormShape read_shape(const Operand& x, const Attributes& attributes);

double read_epsilon(const Operand& operand);

void expect_same_shape(const Operand& x, const Operand& grad);

// Whether the mask, which is no scalar, has one weight per element; else it has one per sample.
bool is_per_element(const Operand& mask, const Operand& x, int axis);

// A scalar stands for none.
template <typename S>
BatchNormWeights<S> read_mask(const Operand& mask, const Operand& x, const Attributes& attributes) {
  if (mask.rank() == 0) return {nullptr, false};
  return {mask.as<S>(), is_per_element(mask, x, axis_of(x, attributes))};
}

// Throws what is wrong with a mask whose weights the core has refused.
template <typename S>
[[noreturn]] void refuse_weights(const Operand& mask) {
  const S* weights = mask.as<S>();
  const auto is_valid = [](S weight) { return std::isfinite(weight) && weight >= 0; };
  const S* bad = std::find_if_not(weights, weights + mask.size(), is_valid);
  throw InvalidInput(
      "mask", "finite weights of at least 0 with a finite sum",
      bad == weights + mask.size() ? "an infinite sum" : to_string(static_cast<double>(*bad)));
}

}  // namespace fastreg
