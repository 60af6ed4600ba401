// SPDX-License-Identifier: Apache-2.0
// Kernels on what batch normalization keeps per channel: from the sums over the samples to the
// statistics and to the coefficients of the kernels on blocks. All of it is computed in double.
#pragma once

#include <cstdint>

#include "fastreg/moving_statistics.h"
#include "kernels/batch_norm.h"

namespace fastreg {

// Some of the channels. Blocks may see a channel several times: copies of its coefficients, and
// sums of its own, lie `channels` apart below `width`.
struct ChannelRange {
  int64_t begin, end;
  int64_t channels, width;
};

// Sums of several parts of the samples. Those of all samples replace the first part's.
struct PartSums {
  double* values;  // [parts, sums, width]
  int64_t parts, sums;
};

// How much the samples weigh together, and what sums over them are divided by.
struct SampleWeight {
  // Keras adds this to the sum of a mask.
  static constexpr double kMaskEpsilon = 1e-7;
  const double* per_channel;  // null: `weight` for all channels
  double weight, excess;
};

// gamma null: 1, beta null: 0.
template <typename S>
struct Affine {
  const S *gamma, *beta;
  double epsilon;
};

// Of (weighted) x - shift.
struct Moments {
  const double *shift, *sum, *squares;
};

template <typename S>
struct Statistics {
  S *mean, *variance;
  const MovingStatistics<S>* moving;  // null: none are kept
};

// Of the incoming gradient, and of (weighted) x - mean.
template <typename S>
struct GradientMoments {
  const double *grad, *grad_centered, *centered;
  const S *mean, *variance, *gamma;
  const S *grad_mean, *grad_variance;  // what else depends on the statistics; null: 0
  double epsilon;
};

// The same about the exact mean, of all replicas together.
template <typename S>
struct MergedGradientMoments {
  const double *grad, *grad_centered, *mean, *variance;
  const S* gamma;
  double epsilon;
};

// Those that set coefficients return whether factors matter: whether one is not 1, or the mean of
// the gradients is beyond the range of S.
template <typename S>
struct BatchNormChannelKernels {
  void (*add_up)(const ChannelRange& range, const PartSums& sums) noexcept;
  // The mean that is returned is rounded; the coefficients carry what it lacks.
  bool (*statistics)(const ChannelRange& range, const Moments& moments, const SampleWeight& samples,
                     const Affine<S>& affine, const Statistics<S>& statistics,
                     const NormalizeCoefficients<S*>& coefficients) noexcept;
  // By statistics that are given; mean null: 0.
  bool (*normalization)(const ChannelRange& range, const S* mean, const S* variance,
                        const Affine<S>& affine,
                        const NormalizeCoefficients<S*>& coefficients) noexcept;
  bool (*merged_normalization)(const ChannelRange& range, const double* mean,
                               const double* variance, const Affine<S>& affine,
                               const NormalizeCoefficients<S*>& coefficients) noexcept;
  bool (*gradient)(const ChannelRange& range, const GradientMoments<S>& moments,
                   const SampleWeight& samples, S* grad_gamma, S* grad_beta,
                   const GradientCoefficients<S*>& coefficients) noexcept;
  bool (*merged_gradient)(const ChannelRange& range, const MergedGradientMoments<S>& moments,
                          const SampleWeight& samples,
                          const GradientCoefficients<S*>& coefficients) noexcept;
};

}  // namespace fastreg
