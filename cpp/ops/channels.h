// SPDX-License-Identifier: Apache-2.0
// How the ops of batch normalization read operands by the channels' axis.
#pragma once

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

}  // namespace fastreg
