// SPDX-License-Identifier: Apache-2.0
#include "ops/channels.h"

#include <cmath>

namespace fastreg {

int axis_of(const Operand& x, const Attributes& attributes) {
  const int axis = attributes.axis < 0 ? attributes.axis + x.rank() : attributes.axis;
  if (!(axis >= 0 && axis < x.rank())) {
    throw InvalidInput("axis", "an axis of a tensor of rank " + std::to_string(x.rank()),
                       std::to_string(attributes.axis));
  }
  return axis;
}

BatchNormShape read_shape(const Operand& x, const Attributes& attributes) {
  const int axis = axis_of(x, attributes);
  BatchNormShape shape = {1, x.sizes[axis], 1};
  for (int d = 0; d < axis; ++d) shape.outer *= x.sizes[d];
  for (int d = axis + 1; d < x.rank(); ++d) shape.inner *= x.sizes[d];
  return shape;
}

double read_epsilon(const Operand& operand) {
  const StrictFloat guard;  // a denormal is not 0
  const double epsilon = read_scalar(operand, "epsilon");
  if (!(std::isfinite(epsilon) && epsilon > 0.0)) {
    throw InvalidInput("epsilon", "a finite positive float", to_string(epsilon));
  }
  return epsilon;
}

void expect_same_shape(const Operand& x, const Operand& grad) {
  if (grad.sizes != x.sizes) {
    throw InvalidInput("grad", "the shape of x, " + to_string(x.sizes),
                       "shape " + to_string(grad.sizes));
  }
}

bool is_per_element(const Operand& mask, const Operand& x, int axis) {
  std::vector<int64_t> samples(x.sizes.begin(), x.sizes.end());
  samples.erase(samples.begin() + axis);
  const bool per_element = mask.rank() == x.rank();
  if (mask.sizes != (per_element ? x.sizes : Sizes(samples))) {
    throw InvalidInput("mask", "the shape of the samples, " + to_string(samples),
                       "shape " + to_string(mask.sizes));
  }
  return per_element;
}

}  // namespace fastreg
