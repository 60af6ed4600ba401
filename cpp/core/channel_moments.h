// SPDX-License-Identifier: Apache-2.0
// Sums over the samples of the channels of a slab, about a sample of each.
#pragma once

#include "core/channel_arrays.h"
#include "core/stores.h"
#include "fastreg/half.h"
#include "fastreg/isa.h"
#include "kernels/table.h"

namespace fastreg {

// 0 where it is not finite.
template <typename T>
double as_shift(T value) {
  const double shift = to_compute(value);
  return shift - shift == 0.0 ? shift : 0.0;
}

using Shifts = ChannelArrays<double, 1>;

// The first sample of each channel that has weight; 0 where there is none.
template <typename T>
void set_shifts(const ChannelSlab& slab, const T* x, const BatchNormWeights<Compute<T>>& weights,
                Shifts& shifts) {
  const BatchNormShape& shape = slab.shape;
  double* shift = shifts[0];
  if (weights.values == nullptr && shape.samples() > 0) {
    for (int64_t channel = 0; channel < shape.channels; ++channel) {
      shift[channel] = as_shift(x[channel * shape.inner]);
    }
    return shifts.repeat(0);
  }
  int64_t sample = 0;
  for (int64_t channel = 0; channel < shape.channels; ++channel) {
    const auto index = [&] {
      return (sample / shape.inner * slab.of + channel) * shape.inner + sample % shape.inner;
    };
    const auto has_no_weight = [&] {
      return weights.values[weights.per_element ? index() : sample] == 0;
    };
    if (weights.per_element) sample = 0;
    while (sample < shape.samples() && has_no_weight()) ++sample;
    shift[channel] = sample < shape.samples() ? as_shift(x[index()]) : 0.0;
  }
  shifts.repeat(0);
}

// Sums of the samples of a slab, and the shifts about which they are.
template <typename T>
class ChannelMoments {
 public:
  ChannelMoments(const ChannelSlab& slab, const BatchNormGrid& grid, int64_t size, const T* x,
                 const BatchNormWeights<Compute<T>>& weights, const Executor& executor)
      : shifts_(grid), sums_(grid, weights.per_element ? 3 : 2) {
    set_shifts(slab, x, weights, shifts_);
    const Reads reads = reads_of<T>(size);
    parallel_for(grid.tasks(), executor, [&](int64_t task) {
      const int64_t part = grid.part(task);
      sums_.add_blocks(grid, task, [&](const BatchNormBlock& block) {
        kernels().of(x).batch_norm.moments(
            block, x, weights, shifts_[0], reads,
            {sums_.of(part, 0), sums_.of(part, 1), sums_.of(part, 2)});
      });
    });
  }
  PartSums parts() { return sums_.parts(); }
  Moments totals() { return {shifts_[0], sums_.total(0), sums_.total(1)}; }
  // Null where all channels have the same.
  const double* weight() { return sums_.total(2); }

 private:
  Shifts shifts_;
  PartialSums sums_;
};

}  // namespace fastreg
