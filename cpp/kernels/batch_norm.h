// SPDX-License-Identifier: Apache-2.0
// Kernels on one block of x seen as [outer, channels, inner]. Per-channel arrays are indexed by
// the channel within x, arrays of samples by the sample within x.
#pragma once

#include <cstdint>

#include "fastreg/dtype.h"
#include "fastreg/weights.h"
#include "kernels/stores.h"

namespace fastreg {

struct BatchNormBlock {
  int64_t outer_begin, outer_end;
  int64_t channel_begin, channel_end;
  int64_t inner_begin, inner_end;
  int64_t channels, inner;  // extents of the whole of x
};

// Sums of one block; each array has room for all channels and is overwritten for the block's own.
struct MomentSums {
  double* sum;      // sum of weight * (x - shift)
  double* squares;  // sum of weight * (x - shift)^2
  double* weights;  // sum of weight, only for weights per element; NaN if one is negative
};

struct GradientSums {
  double* grad;           // sum of grad
  double* grad_centered;  // sum of grad * (x - mean)
  double* centered;       // sum of weight * (x - mean)
  double* weights;        // sum of weight, only for weights per element
};

// Scale and slope have factors (kernels/factors.h), null where all of them are 1.

// y = ((x - mean) - mean_rest) * scale + offset
template <typename Value>
struct NormalizeCoefficients {
  Value mean, mean_rest, scale, offset;
  Value scale_factor;
};

// grad_x = scale * (grad - weight * grad_mean)
//          - weight * (((x - mean) - mean_rest) * slope - offset)
template <typename Value>
struct GradientCoefficients {
  Value scale, grad_mean, mean, mean_rest, slope, offset;
  Value scale_factor, slope_factor, factor;  // all null or none; the last one multiplies the sum
};

template <typename T>
struct BatchNormKernels {
  using S = Compute<T>;

  // 1 load an element, and one more for weights per element, as below.
  void (*moments)(const BatchNormBlock& block, const T* x, const BatchNormWeights<S>& weights,
                  const double* shift, Reads reads, const MomentSums& sums) noexcept;
  // 1 load and 1 store an element.
  void (*normalize)(const BatchNormBlock& block, const T* x,
                    const NormalizeCoefficients<const S*>& coefficients, T* y,
                    Stores stores) noexcept;
  // 2 loads an element.
  void (*gradient_sums)(const BatchNormBlock& block, const T* grad, const T* x,
                        const BatchNormWeights<S>& weights, const S* mean, Reads reads,
                        const GradientSums& sums) noexcept;
  // 2 loads and 1 store an element.
  void (*gradient)(const BatchNormBlock& block, const T* grad, const T* x,
                   const BatchNormWeights<S>& weights,
                   const GradientCoefficients<const S*>& coefficients, T* grad_x,
                   Stores stores) noexcept;
};

}  // namespace fastreg
