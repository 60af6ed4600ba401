// SPDX-License-Identifier: Apache-2.0
// Batch normalization of x seen as [outer, channels, inner]: channels-last has inner = 1,
// channels-first has outer = batch; neither is transposed.
//
//   y = (x - mean) / sqrt(variance + epsilon) * gamma + beta      per channel
//
// Statistics are taken over the samples (outer x inner). variance is biased (divided by the
// count). Both are summed in double about a shift K that is a sample of the channel, so
// (K - mean)^2 <= count * variance and at most log2(count) of double's 53 bits can cancel,
// whatever the mean. The mean used for normalising is carried as an unevaluated sum of two
// Compute<T>, the one returned is its first part.
//
// Replicas that share their statistics merge what batch_norm_share tells of each (Chan, Golub and
// LeVeque, 1979), all in double, and go on from the merged statistics.
//
// weights, one per sample or per element, weigh the statistics only: sums are divided by
// sum(weights) + 1e-7, as Keras does for masks, and where a weight is 0, x may be NaN. gamma null:
// 1, beta null: 0. y may be x itself, grad_x may be grad or x itself. No samples: the statistics
// are NaN.
//
// The functions that sum weights return false where those are not valid. y and grad_x are then as
// they were, or with weights per element changed in part.
//
// y and grad_x are infinite where they are beyond the range of Compute<T>, and else finite: a scale
// may be beyond it, and epsilon as small as a double. (A variance below the range of Compute<T> is
// 0 when it is given back.)
//
// Beside its arguments a call takes no more memory than a quarter of x and 512 KiB for each thread.
#pragma once

#include "fastreg/dtype.h"
#include "fastreg/moving_statistics.h"
#include "fastreg/parallel.h"
#include "fastreg/weights.h"

namespace fastreg {

struct BatchNormShape {
  int64_t outer, channels, inner;
  int64_t samples() const { return outer * inner; }
  int64_t size() const { return outer * channels * inner; }
};

// A channel's samples: their weight, mean (0 where nothing has weight), and the sum of weighted
// squares about it.
struct BatchNormShare {
  double *weight, *mean, *squares;
};

template <typename T>
struct BatchNormForward {
  const T* x;
  BatchNormWeights<Compute<T>> weights;
  const Compute<T>*gamma, *beta;
  double epsilon;
  T* y;  // null: the statistics alone
  Compute<T>*mean, *variance;
  const MovingStatistics<Compute<T>>* moving;  // null: none are kept
};

template <typename T>
[[nodiscard]] bool batch_norm(const BatchNormShape& shape, const BatchNormForward<T>& args,
                              const Executor& executor);

template <typename T>
[[nodiscard]] bool batch_norm_share(const BatchNormShape& shape, const T* x,
                                    const BatchNormWeights<Compute<T>>& weights,
                                    const BatchNormShare& share, const Executor& executor);

template <typename T>
struct BatchNormMerged {
  const T* x;
  const double *mean, *variance;
  const Compute<T>*gamma, *beta;
  double epsilon;
  T* y;
};

// y by merged statistics.
template <typename T>
void batch_norm_merged(const BatchNormShape& shape, const BatchNormMerged<T>& args,
                       const Executor& executor);

template <typename T>
struct BatchNormInference {
  const T* x;
  const Compute<T>*mean, *variance, *gamma, *beta;  // mean null: 0
  double epsilon;
  T* y;
};

template <typename T>
void batch_norm_inference(const BatchNormShape& shape, const BatchNormInference<T>& args,
                          const Executor& executor);

// Gradients of a function of (y, mean, variance) whose gradients by them are grad, grad_mean and
// grad_variance (null: 0). The rounding of the given mean is made good by sum(x - mean), which is
// taken in the same reading.
template <typename T>
struct BatchNormGradient {
  const T *grad, *x;
  BatchNormWeights<Compute<T>> weights;
  const Compute<T>*mean, *variance, *gamma, *grad_mean, *grad_variance;
  double epsilon;
  T* grad_x;
  Compute<T>*grad_gamma, *grad_beta;
};

template <typename T>
[[nodiscard]] bool batch_norm_gradient(const BatchNormShape& shape,
                                       const BatchNormGradient<T>& args, const Executor& executor);

// sum(grad) and sum(grad * (x - mean)) per channel: what the gradients of inference need.
template <typename T>
void batch_norm_gradient_sums(const BatchNormShape& shape, const T* grad, const T* x,
                              const Compute<T>* mean, Compute<T>* sum_grad,
                              Compute<T>* sum_grad_centered, const Executor& executor);

// The same sums in double, about a mean in double: for replicas to add up.
template <typename T>
void batch_norm_gradient_share(const BatchNormShape& shape, const T* grad, const T* x,
                               const double* mean, double* sum_grad, double* sum_grad_centered,
                               const Executor& executor);

// weight, mean, variance, sum_grad and sum_grad_centered are of all replicas together.
template <typename T>
struct BatchNormMergedGradient {
  const T *grad, *x;
  BatchNormWeights<Compute<T>> weights;
  const double *weight, *mean, *variance, *sum_grad, *sum_grad_centered;
  const Compute<T>* gamma;
  double epsilon;
  T* grad_x;
};

template <typename T>
void batch_norm_merged_gradient(const BatchNormShape& shape, const BatchNormMergedGradient<T>& args,
                                const Executor& executor);

}  // namespace fastreg
